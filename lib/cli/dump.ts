/** `ibverbs dump`: what passes an interface, one line a frame, or into a capture. */
import type { PacketQueue } from '../ethernet/index.js'
import { Breath } from './breath.js'
import { type Command, ExitCode } from './command.js'
import { CaptureSink, type FrameSink, LineSink } from './frame/frame-sink.js'
import type { Session } from './session.js'
import { integerOption, operands, parse, UsageError, wordOption } from './usage.js'

/** What tcpdump(1) keeps of a frame by default: more than any frame has. */
const defaultSnapLength = 262144

const options = {
  count: { type: 'string', short: 'c', argument: 'COUNT', help: 'end after COUNT frames' },
  write: {
    type: 'string',
    short: 'w',
    argument: 'FILE',
    help: "write a pcap capture instead of lines; '-' is standard output",
  },
  snaplen: {
    type: 'string',
    short: 's',
    argument: 'BYTES',
    help: `keep so much of each frame (${defaultSnapLength})`,
  },
  nano: { type: 'boolean', help: 'nanoseconds in times and in the capture, instead of microseconds' },
  'no-promiscuous': { type: 'boolean', short: 'p', help: 'only frames for this host: no promiscuous mode' },
  link: { type: 'boolean', short: 'e', help: 'print the link-level header too' },
  hex: {
    type: 'boolean',
    short: 'x',
    multiple: true,
    help: 'print the bytes too; -xx with the link-level header',
  },
  ascii: {
    type: 'boolean',
    short: 'X',
    multiple: true,
    help: 'as -x, with ASCII beside it; -XX with the link-level header',
  },
  direction: {
    type: 'string',
    short: 'Q',
    argument: 'in|inout',
    help: 'what arrives, or what leaves too (inout)',
  },
  time: { type: 'boolean', short: 't', multiple: true, help: 'no time; -tt: seconds since 1970' },
  json: { type: 'boolean', help: 'print one JSON object a frame: { time, length, text, bytes }' },
} as const

export const dump: Command = {
  name: 'dump',
  summary: 'show or capture raw Ethernet frames',
  synopsis: ['IFACE [OPTIONS]'],
  description: `
One line a frame, in the form of tcpdump -n -S, until Ctrl-C or COUNT frames. With -w a capture in
the classic pcap format, which tcpdump -r and Wireshark read. Ends with the frames captured and
dropped, on standard error. Needs CAP_NET_RAW: see 'ibverbs doctor'.`,
  options,
  examples: [
    ['ibverbs dump eth0 -c 10', 'ten frames'],
    ['ibverbs dump eth0 -e -xx', 'with all headers and bytes'],
    ['ibverbs dump eth0 -w frames.pcap', 'a capture'],
    ['ibverbs dump eth0 -w - | tcpdump -nr -', 'in tcpdump'],
  ],
  run,
}

async function run(args: readonly string[], session: Session): Promise<ExitCode> {
  const { values, positionals } = parse(args, options)
  const [name] = operands(positionals, 'IFACE')
  const most = integerOption('--count', values.count, 1, Number.MAX_SAFE_INTEGER) ?? Number.POSITIVE_INFINITY
  const snapLength = integerOption('--snaplen', values.snaplen, 1, defaultSnapLength) ?? defaultSnapLength
  const direction = wordOption('--direction', values.direction, ['in', 'inout']) ?? 'inout'
  if (values.write !== undefined && values.json) throw new UsageError('--json and --write exclude each other')
  if (values.write === '-' && process.stdout.isTTY)
    throw new UsageError('a capture is not for a terminal: name a FILE')
  const nanoseconds = values.nano ?? false

  const { PacketQueue } = await import('../ethernet/index.js')
  const queue = PacketQueue.open(name, {
    promiscuous: !values['no-promiscuous'],
    outgoing: direction === 'inout',
    timestamps: true,
  })
  try {
    const format = {
      link: values.link,
      hex: values.hex?.length,
      ascii: values.ascii?.length,
      time: values.time?.length,
    }
    const sink: FrameSink =
      values.write === undefined
        ? new LineSink(session, { ...format, json: values.json, nanoseconds, snapLength })
        : new CaptureSink(session, values.write, { nanoseconds, snapLength })
    await capture(queue, most, sink, session)
    return ExitCode.ok
  } finally {
    queue.close()
  }
}

async function capture(queue: PacketQueue, most: number, sink: FrameSink, session: Session): Promise<void> {
  const { signal } = session
  const breath = new Breath()
  let captured = 0
  session.note(`listening on ${queue.interface.name}, link-type EN10MB (Ethernet), ${queue.backend}`)
  try {
    while (captured < most && !signal.aborted) {
      const n = queue.receive()
      for (let i = 0; i < n && captured < most; i++) {
        const slot = queue.slot(i)
        const full = !sink.take(queue, slot)
        if (full) {
          await sink.flush()
          sink.take(queue, slot)
        }
        queue.release(slot)
        captured++
      }
      if (n < queue.batch) await sink.flush()
      if (n === 0 && !signal.aborted) await queue.wait({ signal })
      else if (breath.due()) await breath.take()
    }
  } catch (error) {
    // Ctrl-C is how a capture without a count ends.
    if (!signal.aborted) throw error
  } finally {
    const { dropped } = queue.statistics()
    try {
      await sink.close()
    } finally {
      session.note(
        `${captured} ${captured === 1 ? 'frame' : 'frames'} captured, ${dropped} dropped by kernel`,
      )
    }
  }
}
