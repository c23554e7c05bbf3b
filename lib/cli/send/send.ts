/** `ibverbs send`: raw Ethernet frames from hexadecimal text. */
import { setTimeout as delay } from 'node:timers/promises'
import type { PacketQueue } from '../../ethernet/index.js'
import { headerLength, minimumFrameLength } from '../../headers/ethernet.js'
import type { Command } from '../command.js'
import { ExitCode } from '../exit-code.js'
import { jsonText } from '../json.js'
import { interfaceHelp, queueFlags, queueOptions } from '../queue-flags.js'
import type { Session } from '../session.js'
import { refusalsText } from '../totals.js'
import { rateOption } from '../traffic/rate.js'
import { integerOption, numberOption, parse, UsageError, wordOption } from '../usage.js'
import { Yielder } from '../yielder.js'
import { type ReplaySettings, replay } from './replay.js'
import { framesOf, framesOfArguments, pad, readText } from './text-frames.js'

const vlanTagLength = 4

const options = {
  file: {
    type: 'string',
    short: 'f',
    argument: 'FILE',
    help: "read frames from FILE, one on each line; '-' is standard input",
  },
  read: { type: 'string', short: 'r', argument: 'FILE', help: 'replay a capture, pcap or pcapng' },
  count: { type: 'string', short: 'c', argument: 'N', help: 'send all of it N times (1)' },
  interval: {
    type: 'string',
    short: 'i',
    argument: 'MS',
    help: 'with HEX or -f: milliseconds between the times (0)',
  },
  speed: {
    type: 'string',
    argument: 'FACTOR',
    help: 'with -r: this much faster than captured (1)',
  },
  rate: {
    type: 'string',
    argument: 'RATE',
    help: 'with -r: frames per second (20k), bits (1Gbit), or max, instead of its timing',
  },
  'max-sleep': {
    type: 'string',
    argument: 'MS',
    help: 'with -r: at most this many milliseconds between two frames',
  },
  unfit: {
    type: 'string',
    argument: 'WHAT',
    help: 'with -r: skip or cut frames too long for the interface (refuse)',
  },
  pad: { type: 'boolean', help: `fill frames shorter than ${minimumFrameLength} bytes with zeros` },
  json: { type: 'boolean', help: 'print one JSON object: { interface, sent, bytes, wanted, … }' },
  ...queueFlags,
} as const

export const send: Command = {
  name: 'send',
  summary: 'send raw Ethernet frames',
  synopsis: [
    'IFACE HEX… [OPTIONS]',
    'IFACE -f FILE [OPTIONS]',
    'IFACE [OPTIONS] < FILE',
    'IFACE -r CAPTURE [OPTIONS]',
  ],
  description: `
Sends frames as they are: destination MAC, source MAC, EtherType, payload; the interface adds the
check sequence. All HEX arguments together are one frame; ':', '-', '.' and white space between
bytes do not matter. A file has one frame on each line, and '#' begins a comment; or it is a hex
dump with offsets, and perhaps characters: tcpdump -XX, Wireshark, hexdump -C, xxd. Nothing is
padded unless --pad says so: an interface may refuse a frame of less than ${minimumFrameLength} bytes, or
pad it by itself.
A capture (-r) is replayed with its own timing, at a multiple of it (--speed), or at a --rate; the
report then has the frames' lateness: from due time until the kernel accepted the frame. An error in
the capture, or a frame that the interface refuses, ends the replay after the frames before it;
--unfit skips such a frame, or sends the part of it that fits.
Prints how many frames the kernel accepted. Needs CAP_NET_RAW: see 'ibverbs doctor'.
${interfaceHelp}`,
  options,
  examples: [
    ['ibverbs send v0 ffffffffffff 020000000001 88b5 68656c6c6f', 'a broadcast'],
    ['ibverbs send v0 -f frames.hex -c 10 -i 100', 'ten times, every 100 ms'],
    ['ibverbs send v0 -r frames.pcapng', 'a capture, with its own timing'],
    ['ibverbs send v0 -r frames.pcap --rate max -c 100', 'a hundred times, as fast as it goes'],
    ['ibverbs send v0 -r x.pcap --unfit skip --max-sleep 1000', 'without super-frames and long silences'],
  ],
  run,
}

type Values = ReturnType<typeof parse<typeof options>>['values']

async function run(args: readonly string[], session: Session): Promise<ExitCode> {
  const { values, positionals } = parse(args, options)
  const [name, ...hex] = positionals
  if (name === undefined) throw new UsageError('IFACE is missing')
  if (hex.length > 0 && values.file !== undefined)
    throw new UsageError('frames come from HEX or from --file, not both')
  const opening = queueOptions(values, name)
  const count = integerOption('--count', values.count, 1, Number.MAX_SAFE_INTEGER) ?? 1
  const interval = numberOption('--interval', values.interval, 0, 86_400_000) ?? 0
  if (values.read !== undefined) {
    const settings = replaySettings(values, hex.length > 0)
    return replay(name, values.read, { opening, count, json: values.json ?? false, ...settings }, session)
  }
  for (const option of ['speed', 'rate', 'max-sleep', 'unfit'] as const)
    if (values[option] !== undefined) throw new UsageError(`--${option} needs --read`)
  const frames =
    hex.length > 0
      ? framesOfArguments(hex.join(' '))
      : framesOf(
          await readText(values.file, session.signal),
          values.file === undefined || values.file === '-' ? 'stdin' : values.file,
        )
  const padded = values.pad ? frames.map(pad) : frames

  const { PacketQueue } = await import('../../ethernet/index.js')
  const queue = PacketQueue.open(name, { ...opening, transmitOnly: true })
  const wanted = padded.length * count
  let sent = 0
  try {
    checkLengths(queue, padded)
    try {
      await sendAll(queue, padded, { count, interval }, session.signal)
    } finally {
      // The report says how many were sent even after a refused frame or Ctrl-C.
      sent = queue.statistics().transmitted
      report({ interface: name, sent, bytes: bytesOf(padded, sent), wanted }, values.json ?? false, session)
      for (const line of refusalsText(queue.statistics())) session.note(line)
    }
  } finally {
    queue.close()
  }
  return sent === wanted ? ExitCode.ok : ExitCode.failed
}

/** The options of a replay, given that there is --read. */
function replaySettings(
  values: Values,
  hex: boolean,
): Pick<ReplaySettings, 'rate' | 'speed' | 'maxSleep' | 'unfit'> {
  for (const [given, option] of [
    [hex, 'HEX'],
    [values.file !== undefined, '--file'],
    [values.interval !== undefined, '--interval'],
    [values.pad, '--pad'],
  ] as const)
    if (given) throw new UsageError(`--read and ${option} exclude each other`)
  if (values.read === '-') throw new UsageError('--read needs a file: a pipe has a timing of its own')
  const rate = values.rate === undefined ? undefined : rateOption('--rate', values.rate)
  for (const option of ['speed', 'max-sleep'] as const)
    if (rate && values[option] !== undefined)
      throw new UsageError(`--rate and --${option} exclude each other`)
  return {
    rate,
    speed: numberOption('--speed', values.speed, 1e-6, 1e6) ?? 1,
    maxSleep: numberOption('--max-sleep', values['max-sleep'], 0, 1e12) ?? Number.POSITIVE_INFINITY,
    unfit: wordOption('--unfit', values.unfit, ['refuse', 'skip', 'cut']) ?? 'refuse',
  }
}

interface Result {
  interface: string
  sent: number
  bytes: number
  wanted: number
}

function report(result: Result, json: boolean, session: Session): void {
  const { sent, bytes, wanted } = result
  if (json) session.print(jsonText(result))
  else session.print(`${sent} of ${wanted} frames accepted by ${result.interface}, ${bytes} bytes`)
}

/** Checks before sending: no frame may be longer than the interface allows, one VLAN tag included. */
function checkLengths(queue: PacketQueue, frames: readonly Uint8Array[]): void {
  const { name, mtu } = queue.interface
  const longest = Math.min(mtu + headerLength + vlanTagLength, queue.frames.frameSize)
  const long = frames.find((frame) => frame.length > longest)
  if (long)
    throw new Error(
      `a frame of ${long.length} bytes is too long for ${name}: its MTU is ${mtu}, the headers take ${headerLength}`,
    )
}

/** Sends all frames `count` times. The kernel accepts them in this order, and stops at the first that it refuses. */
async function sendAll(
  queue: PacketQueue,
  frames: readonly Uint8Array[],
  { count, interval }: { count: number; interval: number },
  signal: AbortSignal,
): Promise<void> {
  const yielder = new Yielder()
  for (let time = 0; time < count; time++) {
    if (time > 0 && interval > 0) {
      await queue.drain({ signal })
      await delay(interval, undefined, { signal })
    }
    for (const frame of frames) {
      let slot = queue.claim()
      if (slot < 0) {
        await queue.drain({ signal })
        slot = queue.claim()
      }
      queue.memory.set(frame, queue.offset(slot))
      queue.send(slot, frame.length)
      if (yielder.due()) {
        await yielder.yield()
        signal.throwIfAborted()
      }
    }
  }
  await queue.drain({ signal })
}

/** Bytes of the first `sent` frames of all repetitions. */
function bytesOf(frames: readonly Uint8Array[], sent: number): number {
  const sum = (part: readonly Uint8Array[]) => part.reduce((bytes, frame) => bytes + frame.length, 0)
  return Math.floor(sent / frames.length) * sum(frames) + sum(frames.slice(0, sent % frames.length))
}
