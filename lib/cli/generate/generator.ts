/** One run of `ibverbs generate`: sends frames, checks those that come back, and reports. */
import { randomInt } from 'node:crypto'
import { existsSync } from 'node:fs'
import type { PacketQueue } from '../../ethernet/index.js'
import { isSoftware } from '../../soft/device-name.js'
import { ExitCode } from '../exit-code.js'
import { jsonText } from '../json.js'
import { LiveLine, Speed } from '../live-line.js'
import { type Busy, oversubscriptionWarning } from '../oversubscription.js'
import type { Session } from '../session.js'
import { dropsText, refusalsText } from '../totals.js'
import { GeneratedFrame, shortestFrame } from '../traffic/generated-frame.js'
import { bitsText, gapOf, grouped, perSecondText, type Rate } from '../traffic/rate.js'
import { SequenceCheck } from '../traffic/sequence-check.js'
import { checkJson, clocksText, countsText, percentilesText } from '../traffic/text.js'
import { type FrameSource, Transmission, transmit } from '../traffic/transmit.js'
import { WallClock } from '../traffic/wall-clock.js'
import { UsageError } from '../usage.js'
import type { Destination } from './target.js'

export interface GeneratorSettings {
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

/**
 * The frames sent while code and caches are cold: those of the first 0.2 s, at most 1000, and at most a tenth of all.
 *
 * @param gap milliseconds between two frames
 */
export function usualWarmup(
  { count, duration }: Pick<GeneratorSettings, 'count' | 'duration'>,
  gap: number,
): number {
  const all = gap > 0 ? Math.min(count, duration / gap) : count
  return Math.floor(Math.min(1000, all / 10, gap > 0 ? 200 / gap : 1000))
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

/** Sends the frames of a run, and checks those that come back. */
export class Generator {
  readonly #queue: PacketQueue
  readonly #destination: Destination
  readonly #settings: GeneratorSettings
  readonly #session: Session
  readonly #clock = new WallClock()
  readonly #frame: GeneratedFrame
  readonly #check: SequenceCheck | undefined
  readonly #sent = new Transmission()
  readonly #warmup: number
  readonly #live = new LiveLine()
  readonly #speed = new Speed()
  #arrived = 0

  constructor(queue: PacketQueue, destination: Destination, settings: GeneratorSettings, session: Session) {
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

  async run(): Promise<ExitCode> {
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
    const software = (backend === 'raw_packet_qp' || backend === 'mlx5') && isSoftware(device.name)
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
