/** `ibverbs reflect`: sends frames back to their senders. */
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
import { swap } from './traffic/swap.js'
import { parse, UsageError } from './usage.js'

export const reflect: Command = {
  name: 'reflect',
  summary: 'send frames back to where they came from',
  synopsis: ['IFACE [OPTIONS] [FILTER]'],
  description: `
Swaps source and destination of every frame to this interface's address (MAC addresses, those of
IPv4 and IPv6, UDP ports) and sends it back, until Ctrl-C. Leaves frames to groups alone. With
af_packet the kernel answers as well: name a FILTER, or take the frames away with af_xdp. Needs
CAP_NET_RAW: see 'ibverbs doctor'.
${interfaceHelp}
${filterHelp}`,
  options: relayFlags,
  examples: [
    ['ibverbs reflect v1 ether proto 0x88b5', "for 'ibverbs generate --to MAC --receive'"],
    ['ibverbs reflect v1 --backend af_xdp --busy', 'everything, at the lowest latency'],
  ],
  run,
}

async function run(args: readonly string[], session: Session): Promise<ExitCode> {
  const { values, positionals } = parse(args, relayFlags)
  const [name, ...words] = positionals
  if (name === undefined) throw new UsageError('IFACE is missing')
  const common = queueOptions(values, name)
  const opening = {
    ...common,
    ...(common.backend === 'af_packet' ? superFrames : {}),
    filter: filterOf(words),
  }

  const { PacketQueue } = await import('../ethernet/index.js')
  const queue = session.opening(opening.filter, () => PacketQueue.open(name, opening))
  const way = new Relay(queue, queue, swap)
  const live = new LiveLine()
  const speed = new Speed()
  const begin = performance.now()
  session.note(`reflecting on ${name} (${queue.interface.mac}), ${queue.backend}`)
  try {
    await relay([way], {
      signal: session.signal,
      busy: values.busy ?? false,
      look: (now) => {
        if (live.due(now))
          live.show(`${grouped(way.frames)} reflected, ${perSecondText(speed.since(way.frames, now))}`)
      },
    })
  } catch (error) {
    if (!session.signal.aborted) throw error
  } finally {
    live.clear()
    const statistics = queue.statistics()
    const { frames, bytes, ignored, cut } = way
    const seconds = (performance.now() - begin) / 1000
    if (values.json)
      session.print(
        jsonText({
          interface: name,
          backend: queue.backend,
          frames,
          bytes,
          ignored,
          cut,
          seconds,
          statistics,
        }),
      )
    else {
      const parts = [
        `${framesText(frames)} reflected`,
        `${ignored} left alone`,
        ...cutText(cut),
        dropsText(statistics),
      ]
      session.print([...parts, ...refusalsText(statistics)].join(', '))
    }
    queue.close()
  }
  return ExitCode.ok
}
