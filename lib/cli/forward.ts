/** `ibverbs forward`: sends the frames of each of two interfaces out of the other. */
import type { PacketQueue } from '../ethernet/index.js'
import type { Command } from './command.js'
import { ExitCode } from './exit-code.js'
import { filterHelp, filterOf } from './filter.js'
import { jsonText } from './json.js'
import { LiveLine, Speed } from './live-line.js'
import { interfaceHelp, queueOptions, superFrames } from './queue-flags.js'
import type { Session } from './session.js'
import { cutText, dropsText, framesText, refusalsText } from './totals.js'
import { grouped, perSecondText } from './traffic/rate.js'
import { Relay, relay, relayFlags } from './traffic/relay.js'
import { noMoreOperands, parse, UsageError } from './usage.js'

/** Except with AF_PACKET, both queues need frames to receive into while others are in flight. */
const frameCount = 8192
const receiveFrames = 2048

const options = {
  transparent: { type: 'boolean', help: 'leave the frames as they are' },
  filter: { type: 'string', short: 'f', argument: 'FILTER', help: 'forward only these frames' },
  ...relayFlags,
} as const

export const forward: Command = {
  name: 'forward',
  summary: 'forward frames between two interfaces, both ways',
  synopsis: ['IFACE_A IFACE_B [OPTIONS]'],
  description: `
Sends frames received on either interface out of the other, until Ctrl-C, in promiscuous mode. The
frames stay where the device put them. Like the forwarder of ixy, it adds 1 to the second byte of
each frame, so that the work includes touching it; --transparent does not, and makes a wire of the
two. Needs CAP_NET_RAW: see 'ibverbs doctor'.
${interfaceHelp}
${filterHelp}`,
  options,
  examples: [
    ['ibverbs forward v1 w0', 'the loop that forwarders are compared with'],
    ['ibverbs forward v1 w0 --transparent', 'a wire'],
    ['ibverbs forward v1 w0 --backend af_xdp --busy', 'without the kernel, never asleep'],
  ],
  run,
}

async function run(args: readonly string[], session: Session): Promise<ExitCode> {
  const { values, positionals } = parse(args, options)
  const [nameA, nameB] = positionals
  if (nameA === undefined) throw new UsageError('IFACE_A is missing')
  if (nameB === undefined) throw new UsageError('IFACE_B is missing')
  noMoreOperands(positionals, 2)
  if (nameA === nameB) throw new UsageError('the two interfaces must not be the same')
  const common = {
    ...queueOptions(values, nameA),
    filter: filterOf([values.filter ?? '']),
    promiscuous: true,
  }

  const { FramePool, PacketQueue, listInterfaces } = await import('../ethernet/index.js')
  const mtus = listInterfaces().flatMap(({ name, mtu }) => (name === nameA || name === nameB ? [mtu] : []))
  const packet = common.backend === 'af_packet'
  // Room for the headers, and for the headroom of AF_XDP (XDP_PACKET_HEADROOM).
  const frameSize = 2 ** Math.ceil(Math.log2(Math.max(2048, ...mtus.map((mtu) => mtu + 18 + 256))))
  const frames = new FramePool(packet ? superFrames : { frameCount, frameSize })
  const receiving = packet ? {} : { receiveFrames }
  const queues: PacketQueue[] = []
  try {
    for (const name of [nameA, nameB]) {
      queues.push(
        session.opening(common.filter, () => PacketQueue.open(name, { ...common, ...receiving, frames })),
      )
    }
    const [a, b] = queues
    const change = values.transparent ? () => true : touch
    return await forwardBoth([new Relay(a, b, change), new Relay(b, a, change)], values, session)
  } finally {
    for (const queue of queues) queue.close()
  }
}

function touch(memory: Uint8Array, at: number): boolean {
  memory[at + 1]++
  return true
}

async function forwardBoth(
  ways: readonly [Relay, Relay],
  { busy = false, json = false }: { busy?: boolean; json?: boolean },
  session: Session,
): Promise<ExitCode> {
  const live = new LiveLine()
  const speeds = ways.map(() => new Speed())
  const names = ways.map(({ from, to }) => `${from.interface.name} → ${to.interface.name}`)
  const begin = performance.now()
  session.note(
    `forwarding between ${ways.map(({ from }) => from.interface.name).join(' and ')}, ${ways[0].from.backend}`,
  )
  try {
    await relay(ways, {
      signal: session.signal,
      busy,
      look: (now) => {
        if (!live.due(now)) return
        const text = ways.map(
          ({ frames }, i) =>
            `${names[i]} ${grouped(frames)} (${perSecondText(speeds[i].since(frames, now))})`,
        )
        live.show(text.join('  '))
      },
    })
  } catch (error) {
    if (!session.signal.aborted) throw error
  } finally {
    live.clear()
    const seconds = (performance.now() - begin) / 1000
    if (json) {
      const directions = ways.map(({ from, to, frames, bytes, cut }) => ({
        from: from.interface.name,
        to: to.interface.name,
        frames,
        bytes,
        cut,
        received: from.statistics(),
        sent: to.statistics(),
      }))
      session.print(jsonText({ backend: ways[0].from.backend, seconds, directions }))
    } else {
      for (const [i, { from, to, frames, bytes, cut }] of ways.entries()) {
        const parts = [
          `${names[i]}: ${framesText(frames)}, ${bytes} bytes`,
          ...cutText(cut),
          dropsText(from.statistics()),
        ]
        session.print([...parts, ...refusalsText(to.statistics())].join(', '))
      }
    }
  }
  return ExitCode.ok
}
