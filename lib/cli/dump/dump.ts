/** `ibverbs dump`: prints an interface's frames, one line each, or writes a capture. */
import { defaultSnapLength } from '../../capture/captured-frame.js'
import type { CaptureStatistics, PacketQueue, PacketQueueOptions } from '../../ethernet/index.js'
import type { Command } from '../command.js'
import { ExitCode } from '../exit-code.js'
import { filterHelp, filterOf } from '../filter.js'
import { Input } from '../input.js'
import { LiveLine, Speed } from '../live-line.js'
import {
  interfaceHelp,
  queueFlags,
  queueOptions,
  superFrames,
  timestampFlags,
  timestampOption,
} from '../queue-flags.js'
import type { Session } from '../session.js'
import { dropsText, framesText } from '../totals.js'
import { grouped, perSecondText } from '../traffic/rate.js'
import { WallClock } from '../traffic/wall-clock.js'
import { integerOption, parse, UsageError, wordOption } from '../usage.js'
import { Yielder } from '../yielder.js'
import { CaptureSink, formatOf } from './capture-sink.js'
import { CheckSink } from './check-sink.js'
import { type FrameSink, LineSink, type SeenFrame } from './frame-sink.js'
import { readCapture } from './read-capture.js'

const options = {
  read: { type: 'string', short: 'r', argument: 'FILE', help: "a capture's frames instead; '-': stdin" },
  count: { type: 'string', short: 'c', argument: 'COUNT', help: 'end after COUNT frames' },
  write: {
    type: 'string',
    short: 'w',
    argument: 'FILE',
    help: "write a capture, pcapng where FILE is *.pcapng, else pcap; '-': stdout",
  },
  format: { type: 'string', argument: 'pcap|pcapng', help: "the capture's format, whatever its name" },
  snaplen: {
    type: 'string',
    short: 's',
    argument: 'BYTES',
    help: `keep at most this much of each frame (${defaultSnapLength})`,
  },
  nano: { type: 'boolean', help: 'nanoseconds in times and in pcap, instead of microseconds' },
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
  json: { type: 'boolean', help: 'print one JSON object for each frame: { time, length, text, bytes }' },
  check: { type: 'boolean', help: "count the frames of 'ibverbs generate': lost, duplicated, reordered" },
  ...queueFlags,
  ...timestampFlags,
} as const

export const dump: Command = {
  name: 'dump',
  summary: 'show or capture raw Ethernet frames',
  synopsis: ['IFACE [OPTIONS] [FILTER]', '-r FILE [OPTIONS] [FILTER]'],
  description: `
Prints a line for each frame, in the form of tcpdump -n -S, down to the transport header and through
tunnels (protocols above ports are not decoded), until Ctrl-C or COUNT frames. With -w it writes a
capture that tcpdump -r and Wireshark read; pcapng has nanoseconds, directions and the drops too.
Ends with the frames captured and dropped, on standard error.
Needs CAP_NET_RAW: see 'ibverbs doctor'.
${interfaceHelp}
${filterHelp}`,
  options,
  examples: [
    ['ibverbs dump eth0 -c 10 udp port 53', 'ten DNS frames'],
    ['ibverbs dump eth0 -e -xx', 'with all headers and bytes'],
    ['ibverbs dump eth0 -w frames.pcapng', 'a capture'],
    ['ibverbs dump eth0 -w - | tcpdump -nr -', 'in tcpdump'],
    ['ibverbs dump -r frames.pcapng vlan and port 53', 'what a capture has of them'],
  ],
  run,
}

type Values = ReturnType<typeof parse<typeof options>>['values']

async function run(args: readonly string[], session: Session): Promise<ExitCode> {
  const { values, positionals } = parse(args, options)
  if (values.read !== undefined) return runFile(values.read, positionals, values, session)
  const [name, ...words] = positionals
  if (name === undefined) throw new UsageError('IFACE is missing')
  const make = sinkMaker(values, words, session)
  const common = queueOptions(values, name)
  const opening: PacketQueueOptions = {
    ...common,
    ...(common.backend === 'af_packet' ? superFrames : {}),
    promiscuous: !values['no-promiscuous'],
    filter: filterOf(words),
  }
  // The other backends see incoming frames only. Without a clock dump takes the time when it sees a frame.
  const packet = opening.backend === 'af_packet'
  const direction = wordOption('--direction', values.direction, ['in', 'inout']) ?? (packet ? 'inout' : 'in')
  if (!packet && direction === 'inout') {
    throw new UsageError(`'-Q inout' needs af_packet: ${opening.backend} sees what arrives`)
  }
  opening.timestamps = timestampOption(values.timestamps, common.backend)
  opening.outgoing = direction === 'inout'

  const { listInterfaces, PacketQueue } = await import('../../ethernet/index.js')
  if (name === 'any' && !listInterfaces().some((each) => each.name === name)) {
    throw new UsageError(
      "'any' is tcpdump's word for all interfaces at once: dump takes one by its name (ip link)",
    )
  }
  const queue = session.opening(opening.filter, () => PacketQueue.open(name, opening))
  try {
    const sink = await make(name, () => queue.statistics())
    // Lines and a capture to standard output show progress by themselves.
    const live = values.check || (values.write !== undefined && values.write !== '-')
    await capture(queue, mostOf(values), sink, session, live ? new LiveLine() : undefined)
    return ExitCode.ok
  } finally {
    queue.close()
  }
}

async function runFile(
  path: string,
  words: readonly string[],
  values: Values,
  session: Session,
): Promise<ExitCode> {
  for (const option of ['no-promiscuous', 'direction', 'backend', 'queue', 'timestamps'] as const)
    if (values[option] !== undefined) throw new UsageError(`--${option} and --read exclude each other`)
  const make = sinkMaker(values, words, session)
  const expression = filterOf(words)
  const { PacketFilter } = await import('../../ethernet/index.js')
  const filter =
    expression === undefined ? undefined : session.opening(expression, () => new PacketFilter(expression))
  const input = path === '-' ? Input.standard() : new Input(path)
  try {
    await readCapture(input, filter, mostOf(values), await make(input.path, () => ({})), session)
    return ExitCode.ok
  } finally {
    input.close()
  }
}

function mostOf(values: Values): number {
  return integerOption('--count', values.count, 1, Number.MAX_SAFE_INTEGER) ?? Number.POSITIVE_INFINITY
}

/** Checks the options and returns a function that makes the sink they ask for. */
function sinkMaker(
  values: Values,
  words: readonly string[],
  session: Session,
): (interfaceName: string, statistics: () => CaptureStatistics) => Promise<FrameSink> {
  mostOf(values)
  const snapLength = integerOption('--snaplen', values.snaplen, 1, defaultSnapLength) ?? defaultSnapLength
  const format = wordOption('--format', values.format, ['pcap', 'pcapng'])
  if (values.write === undefined && format) throw new UsageError('--format needs --write')
  if (values.write !== undefined && values.json) throw new UsageError('--json and --write exclude each other')
  if (values.check && values.write !== undefined)
    throw new UsageError('--check and --write exclude each other')
  if (values.write === '-' && process.stdout.isTTY)
    throw new UsageError('a capture is not for a terminal: name a FILE')
  const nanoseconds = values.nano ?? false
  return async (interfaceName, statistics) => {
    if (values.check) return new CheckSink(session, values.json ?? false)
    if (values.write === undefined) {
      return new LineSink(session, {
        link: values.link,
        hex: values.hex?.length,
        ascii: values.ascii?.length,
        time: values.time?.length,
        json: values.json,
        nanoseconds,
        snapLength,
      })
    }
    return CaptureSink.open(session, values.write, {
      format: format ?? formatOf(values.write),
      nanoseconds,
      snapLength,
      interfaceName,
      description: words.length === 0 ? undefined : words.join(' '),
      statistics,
    })
  }
}

/** Milliseconds that a signal leaves for the frames that the kernel has ready. */
const restTime = 250

async function capture(
  queue: PacketQueue,
  most: number,
  sink: FrameSink,
  session: Session,
  live: LiveLine | undefined,
): Promise<void> {
  const { signal } = session
  const yielder = new Yielder()
  const clock = new WallClock()
  const speed = new Speed()
  const frame: SeenFrame = {
    memory: queue.memory,
    offset: 0,
    length: 0,
    originalLength: 0,
    packetType: undefined,
    seconds: 0,
    nanoseconds: 0,
  }
  const unlessAborted = (error: unknown): void => {
    if (!signal.aborted) throw error
  }
  let captured = 0
  /** After a signal: how many frames the kernel had accepted for the queue when it came, and until when they are taken. */
  let rest: { accepted: number; until: number } | undefined
  const over = (): boolean => {
    if (!signal.aborted) return false
    rest ??= { accepted: queue.statistics().received, until: performance.now() + restTime }
    return captured >= rest.accepted || performance.now() > rest.until
  }
  session.note(`listening on ${queue.interface.name}, link-type EN10MB (Ethernet), ${queue.backend}`)
  try {
    while (captured < most && !over()) {
      const n = queue.receive()
      if (n === 0 && signal.aborted) break
      if (n > 0) clock.read()
      for (let i = 0; i < n && captured < most; i++) {
        const slot = queue.slot(i)
        const seconds = queue.seconds(slot)
        frame.seconds = seconds === 0 ? clock.seconds : seconds
        frame.nanoseconds = seconds === 0 ? clock.nanoseconds : queue.nanoseconds(slot)
        // As on the wire: the kernel strips the VLAN tag.
        queue.restoreVlan(slot)
        frame.offset = queue.offset(slot)
        frame.length = queue.length(slot)
        frame.originalLength = queue.originalLength(slot)
        frame.packetType = queue.packetType(slot)
        if (!sink.take(frame)) {
          await sink.flush()
          sink.take(frame)
        }
        queue.release(slot)
        captured++
      }
      if (n < queue.batch) await sink.flush()
      const now = live ? performance.now() : 0
      if (live?.due(now))
        live.show(`${grouped(captured)} captured, ${perSecondText(speed.since(captured, now))}`)
      if (n === 0) await queue.wait({ signal }).catch(unlessAborted)
      else if (yielder.due()) await yielder.yield()
    }
  } catch (error) {
    // Ctrl-C is the usual end of a capture without a count.
    if (!signal.aborted) throw error
  } finally {
    live?.clear()
    const statistics = queue.statistics()
    try {
      await sink.close()
    } finally {
      session.note(`${framesText(captured)} captured, ${dropsText(statistics)}`)
    }
  }
}
