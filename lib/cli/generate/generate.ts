/** `ibverbs generate`: sends numbered frames at a rate, and checks those that come back. */
import { randomInt } from 'node:crypto'
import { existsSync } from 'node:fs'
import type { PacketQueue } from '../../ethernet/index.js'
import type { Command } from '../command.js'
import { ExitCode } from '../exit-code.js'
import { jsonText } from '../json.js'
import { LiveLine, Speed } from '../live-line.js'
import { type Busy, isSoftware, oversubscriptionWarning } from '../oversubscription.js'
import { interfaceHelp, queueFlags, queueOptions } from '../queue-flags.js'
import type { Session } from '../session.js'
import { dropsText, refusalsText } from '../totals.js'
import { GeneratedFrame, shortestFrame } from '../traffic/generated-frame.js'
import { bitsText, gapOf, grouped, perSecondText, type Rate, rateOption } from '../traffic/rate.js'
import { SequenceCheck } from '../traffic/sequence-check.js'
import { checkJson, clocksText, countsText, percentilesText } from '../traffic/text.js'
import { type FrameSource, Transmission, transmit } from '../traffic/transmit.js'
import { WallClock } from '../traffic/wall-clock.js'
import { integerOption, numberOption, operands, parse, UsageError } from '../usage.js'
import { addressOption, type Destination, destinationOf } from './target.js'

const defaultRate = '1000'

const options = {
  to: { type: 'string', argument: 'DEST', help: 'a MAC address, or an IP address and UDP port: 10.0.0.2:9' },
  rate: {
    type: 'string',
    short: 'r',
    argument: 'RATE',
    help: `frames per second (20k), bits of frames (1Gbit), or max (${defaultRate})`,
  },
  size: { type: 'string', short: 's', argument: 'BYTES', help: 'bytes of a frame (the shortest possible)' },
  count: { type: 'string', short: 'c', argument: 'N', help: 'end after N frames' },
  duration: { type: 'string', short: 't', argument: 'SECONDS', help: 'end after this many seconds' },
  warmup: {
    type: 'string',
    argument: 'N',
    help: "exclude the first N frames' times (0.2 s, at most 1000, at most a tenth)",
  },
  receive: { type: 'boolean', help: 'count the frames that come back, such as from ibverbs reflect' },
  linger: {
    type: 'string',
    argument: 'SECONDS',
    help: 'with --receive: wait until no frame arrives for this long (1)',
  },
  json: { type: 'boolean', help: 'print one JSON object, times in µs' },
  ...queueFlags,
} as const

export const generate: Command = {
  name: 'generate',
  summary: 'send numbered frames at a rate, and report how well it was kept',
  synopsis: ['IFACE --to DEST [OPTIONS]'],
  description: `
Sends frames of one size, each at its due time, until Ctrl-C, N frames or SECONDS. To a MAC address
they have EtherType 0x88b5; to an IP address they are UDP, with the MAC address from the kernel's
tables. Each carries a sequence number and its due time: 'ibverbs dump --check' at the other end, or
--receive with 'ibverbs reflect' there, counts lost, duplicated and reordered frames, and measures
the time from due to arrival, so that a delayed sender hides no latency (between two hosts as
accurate as their clocks). Ends with the rate reached and the sender's own lateness: from due time
until the kernel accepted the frame.
Sleeps between frames if there is time. Needs CAP_NET_RAW: see 'ibverbs doctor'.
${interfaceHelp}`,
  options,
  examples: [
    ['ibverbs generate v0 --to 02:00:00:00:00:02 -r 50k -t 10', 'ten seconds of 50 000 frames/s'],
    ['ibverbs generate v0 --to 10.0.0.2:9 -r max -s 1514 -c 1M', 'a million, as fast as it goes'],
    ['ibverbs generate v0 --to 10.0.0.2:7 --receive', "with 'ibverbs reflect' at the other end"],
  ],
  run,
}

interface Settings {
  rate: Rate
  size: number | undefined
  count: number
  /** Milliseconds. */
  duration: number
  /** Undefined: {@link usualWarmup}. */
  warmup: number | undefined
  receive: boolean
  linger: number
  json: boolean
}

async function run(args: readonly string[], session: Session): Promise<ExitCode> {
  const { values, positionals } = parse(args, options)
  const [name] = operands(positionals, 'IFACE')
  const address = addressOption(values.to)
  const settings: Settings = {
    rate: rateOption('--rate', values.rate ?? defaultRate),
    size: integerOption('--size', values.size, 60, 65535),
    count: countOption(values.count),
    duration: (numberOption('--duration', values.duration, 0.001, 1e9) ?? Number.POSITIVE_INFINITY) * 1000,
    warmup: integerOption('--warmup', values.warmup, 0, Number.MAX_SAFE_INTEGER),
    receive: values.receive ?? false,
    linger: (numberOption('--linger', values.linger, 0, 3600) ?? 1) * 1000,
    json: values.json ?? false,
  }
  if (values.linger !== undefined && !settings.receive) throw new UsageError('--linger needs --receive')
  const opening = queueOptions(values, name)

  const { PacketQueue } = await import('../../ethernet/index.js')
  const destination = await destinationOf(address, name, session.signal)
  try {
    const listening = settings.receive
      ? { flows: destination.flows, timestamps: opening.backend === 'af_packet' }
      : { transmitOnly: true }
    const queue = PacketQueue.open(name, { ...opening, ...listening })
    try {
      return await new Run(queue, destination, settings, session).all()
    } finally {
      queue.close()
    }
  } finally {
    destination.close()
  }
}

/**
 * The frames sent while code and caches are cold: those of the first 0.2 s, at most 1000, and at most a tenth of all.
 *
 * @param gap milliseconds between two frames
 */
export function usualWarmup({ count, duration }: Pick<Settings, 'count' | 'duration'>, gap: number): number {
  const all = gap > 0 ? Math.min(count, duration / gap) : count
  return Math.floor(Math.min(1000, all / 10, gap > 0 ? 200 / gap : 1000))
}

/** A count, which may end in k or M. */
function countOption(text: string | undefined): number {
  if (text === undefined) return Number.POSITIVE_INFINITY
  const [, digits, scale] = /^(\d+)([kmg]?)$/i.exec(text) ?? []
  const value = Number(digits) * { '': 1, k: 1e3, m: 1e6, g: 1e9 }[(scale ?? '').toLowerCase() as 'k']
  if (!(value >= 1 && value < 2 ** 48)) {
    throw new UsageError(`--count must be an integer from 1, such as 5000 or 10M, not '${text}'`)
  }
  return value
}

/** The frames of a run, numbered, each with its due time. */
class Numbered implements FrameSource {
  readonly #frame: GeneratedFrame
  readonly #clock: WallClock
  readonly #count: number
  readonly #gap: number
  #begin = 0
  #next = 0

  constructor(frame: GeneratedFrame, clock: WallClock, count: number, gap: number) {
    this.#frame = frame
    this.#clock = clock
    this.#count = count
    this.#gap = gap
  }

  begin(now: number): void {
    this.#begin = now
  }

  due(): number {
    return this.#next < this.#count ? this.#next * this.#gap : Number.POSITIVE_INFINITY
  }

  write(memory: Uint8Array, offset: number): number {
    const clock = this.#clock
    // At full speed no frame has a due time: it carries the clock's last reading, from before its batch.
    if (this.#gap > 0) clock.at(this.#begin + this.#next * this.#gap)
    this.#frame.write(memory, offset, this.#next++, clock.seconds, clock.nanoseconds)
    return this.#frame.length
  }
}

class Run {
  readonly #queue: PacketQueue
  readonly #destination: Destination
  readonly #settings: Settings
  readonly #session: Session
  readonly #clock = new WallClock()
  readonly #frame: GeneratedFrame
  readonly #check: SequenceCheck | undefined
  readonly #sent = new Transmission()
  readonly #warmup: number
  readonly #live = new LiveLine()
  readonly #speed = new Speed()
  #arrived = 0

  constructor(queue: PacketQueue, destination: Destination, settings: Settings, session: Session) {
    this.#queue = queue
    this.#destination = destination
    this.#settings = settings
    this.#session = session
    const target = { sourceMac: queue.interface.macBytes, ...destination.target }
    const shortest = shortestFrame(target)
    const longest = Math.min(queue.interface.mtu + 14, queue.frames.frameSize)
    const { size = shortest } = settings
    if (size < shortest || size > longest) {
      throw new UsageError(
        `--size must be from ${shortest} to ${longest} for ${destination.text}, not '${size}'`,
      )
    }
    const stream = randomInt(2 ** 16)
    this.#frame = new GeneratedFrame(target, size, stream)
    this.#warmup = settings.warmup ?? usualWarmup(settings, gapOf(settings.rate, size))
    if (settings.receive) this.#check = new SequenceCheck(stream, this.#warmup)
  }

  async all(): Promise<ExitCode> {
    const { rate, count, duration, linger, json } = this.#settings
    const session = this.#session
    const { signal } = session
    const source = new Numbered(this.#frame, this.#clock, count, gapOf(rate, this.#frame.length))
    const warning = oversubscriptionWarning(this.#busy())
    if (warning !== null) session.note(warning)
    try {
      await transmit(this.#queue, source, this.#sent, {
        signal,
        warmup: this.#warmup,
        until: duration,
        look: (now) => this.#look(now),
        // With AF_PACKET the kernel records the time of arrival: no need to poll for it.
        watching: this.#check !== undefined && this.#queue.backend !== 'af_packet',
      })
      if (this.#check && !signal.aborted) await this.#rest(linger)
      this.#receive()
    } catch (error) {
      if (!signal.aborted) throw error
    } finally {
      this.#live.clear()
      if (json) session.print(jsonText(this.#json()))
      else for (const line of this.#text()) session.print(line)
    }
    const lost = this.#check?.totals(this.#sent.sent).lost ?? 0
    const { refused } = this.#queue.statistics()
    return lost === 0 && refused === 0 ? ExitCode.ok : ExitCode.failed
  }

  /** Without a hardware device, the reflector runs on this machine too. */
  #busy(): Busy {
    const { backend, interface: device } = this.#queue
    const software = backend === 'raw_packet_qp' && isSoftware(device.name)
    const near =
      this.#check !== undefined && (software || !existsSync(`/sys/class/net/${device.name}/device`))
    const ends = near ? 2 : 1
    return { processes: ends, nicThreads: software ? ends : 0 }
  }

  #look(now: number): void {
    this.#clock.read()
    if (this.#check) this.#receive()
    if (!this.#live.due(now)) return
    const { sent, lateness } = this.#sent
    const back = this.#check ? `, ${grouped(this.#check.frames)} back` : ''
    const late = this.#paced ? `, late p99 ${(lateness.percentile(99) / 1000).toFixed(1)} µs` : ''
    this.#live.show(`${grouped(sent)} sent, ${perSecondText(this.#speed.since(sent, now))}${late}${back}`)
  }

  get #paced(): boolean {
    return this.#settings.rate.unit !== 'max'
  }

  #receive(): void {
    const check = this.#check
    if (!check || this.#queue.closed) return
    const queue = this.#queue
    for (;;) {
      const n = queue.receive()
      if (n === 0) return
      const now = performance.now()
      this.#arrived = now
      this.#clock.read()
      for (let i = 0; i < n; i++) {
        const slot = queue.slot(i)
        const at = queue.offset(slot)
        const seconds = queue.seconds(slot)
        if (seconds > 0)
          check.take(queue.memory, at, at + queue.length(slot), seconds, queue.nanoseconds(slot))
        else
          check.take(queue.memory, at, at + queue.length(slot), this.#clock.seconds, this.#clock.nanoseconds)
        queue.release(slot)
      }
    }
  }

  /** Waits for the frames that are still in flight. */
  async #rest(linger: number): Promise<void> {
    const { signal } = this.#session
    this.#arrived = performance.now()
    this.#receive()
    while (!signal.aborted && (this.#check?.totals(this.#sent.sent).lost ?? 0) > 0) {
      const left = Math.ceil(this.#arrived + linger - performance.now())
      if (left <= 0) return
      const silence = AbortSignal.any([signal, AbortSignal.timeout(left)])
      await this.#queue.wait({ signal: silence }).catch((error: unknown) => {
        if (!silence.aborted) throw error
      })
      this.#receive()
    }
  }

  #text(): string[] {
    const { sent, elapsed, lateness, perSecond } = this.#sent
    const { rate } = this.#settings
    const seconds = elapsed / 1000
    const wanted =
      rate.unit === 'max'
        ? 'as fast as it went'
        : `${perSecondText(1000 / gapOf(rate, this.#frame.length))} wanted`
    const statistics = this.#queue.statistics()
    const lines = [
      `${sent} frames of ${this.#frame.length} bytes to ${this.#destination.text} in ${seconds.toFixed(3)} s: ` +
        `${perSecondText(perSecond)} (${wanted}), ${bitsText(perSecond * this.#frame.length * 8)}`,
    ]
    const times = [
      this.#check &&
        percentilesText(`${this.#paced ? 'due' : 'written'} to arrival in µs`, this.#check.latency),
      this.#paced ? percentilesText('late by µs', lateness) : null,
    ].filter((line) => typeof line === 'string')
    lines.push(...times)
    if (times.length === 0 && sent > 0 && (this.#paced || this.#check))
      lines.push('no times: there was none behind the warm-up')
    if (times.length > 0 && this.#warmup > 0) lines.push(`(without the first ${this.#warmup}, to warm up)`)
    lines.push(...refusalsText(statistics))
    if (this.#check) {
      lines.push(...countsText(this.#check.totals(sent)), ...clocksText(this.#check))
      if (statistics.dropped > 0) lines.push(dropsText(statistics))
    }
    return lines
  }

  #json(): Record<string, unknown> {
    const { sent, bytes, elapsed, lateness, perSecond } = this.#sent
    const { rate } = this.#settings
    const gap = gapOf(rate, this.#frame.length)
    return {
      interface: this.#queue.interface.name,
      backend: this.#queue.backend,
      to: this.#destination.text,
      size: this.#frame.length,
      sent,
      bytes,
      seconds: elapsed / 1000,
      framesPerSecond: perSecond,
      wantedPerSecond: gap > 0 ? 1000 / gap : null,
      unit: 'us',
      warmup: this.#warmup,
      dueToArrival: this.#paced && this.#check ? this.#check.latency.summary() : null,
      lateness: this.#paced ? lateness.summary() : null,
      received: this.#check ? checkJson(this.#check.totals(sent), this.#check) : null,
      statistics: this.#queue.statistics(),
    }
  }
}
