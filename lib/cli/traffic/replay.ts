/** The frames of a capture, each with its due time. */
import { CaptureParser } from '../../capture/parser.js'
import { headerLength } from '../../headers/ethernet.js'
import { Input } from '../input.js'
import { UsageError } from '../usage.js'
import { gapOf, type Rate } from './rate.js'
import type { FrameSource } from './transmit.js'

/**
 * What to do with a frame that cannot be sent: throw an error, skip it, or send the part that fits (one too short is
 * skipped).
 */
export type Unfit = 'refuse' | 'skip' | 'cut'

export interface ReplayOptions {
  /** How often to replay the whole capture. */
  count: number
  /** Speed relative to the capture; ignored with a rate. */
  speed: number
  /** Undefined: the capture's own timing. */
  rate: Rate | undefined
  /** The longest gap between two frames in milliseconds; Infinity: as captured; ignored with a rate. */
  maxSleep: number
  /** What to do with a frame that is longer than the interface allows, or is no Ethernet frame at all. */
  unfit: Unfit
  /** MTU of the interface, in bytes. */
  mtu: number
  /** Bytes of a frame buffer. */
  frameSize: number
  /** Name of the interface, for errors. */
  interfaceName: string
}

export class Replay implements FrameSource {
  /** Frames that the capture holds in part: they are sent as they are. */
  cut = 0
  /** Frames too long for the interface, of which the part that fits was sent. */
  shortened = 0
  /** Frames that were skipped. */
  skipped = 0
  /** Frames read so far, including skipped ones. */
  frames = 0
  /** Why reading stopped before the capture's end; the frames before are sent. */
  failure: Error | undefined
  readonly #path: string
  readonly #options: ReplayOptions
  readonly #input: Input
  /** Whether a pipe has no more bytes yet, but has not ended. */
  #starved = false
  #parser = new CaptureParser()
  #times = 1
  /** Bytes of the frame to send. */
  #length = 0
  #due = 0
  /** Time of the first frame, and the offset of this replay: the duration of those before. */
  #seconds = Number.NaN
  #nanoseconds = 0
  #base = 0

  /** @throws Error ERR_IBVERBS_CAPTURE, and those of open(2) */
  constructor(path: string, options: ReplayOptions) {
    this.#path = path
    this.#options = options
    this.#input = new Input(path)
    if (options.count > 1 && !this.#input.regular) {
      this.close()
      throw new UsageError(
        `${path} is no regular file: it cannot be read again, as --count ${options.count} asks`,
      )
    }
    this.#advance()
    if (this.failure) {
      this.close()
      throw this.failure
    }
  }

  due(): number {
    return this.#starved ? Number.POSITIVE_INFINITY : this.#due
  }

  write(memory: Uint8Array, offset: number): number {
    const { bytes, frame } = this.#parser
    const length = this.#length
    memory.set(bytes.subarray(frame.offset, frame.offset + length), offset)
    const gap = this.#options.rate ? gapOf(this.#options.rate, length) : 0
    const before = this.#due
    this.#advance()
    if (this.#options.rate && this.#due < Number.POSITIVE_INFINITY) this.#due = before + gap
    return length
  }

  arrival(signal: AbortSignal): Promise<void> | undefined {
    if (!this.#starved) return undefined
    return this.#input.arrival(signal).then(() => this.#advance())
  }

  /** Whether the whole capture was read. */
  get ended(): boolean {
    return this.#due === Number.POSITIVE_INFINITY && !this.#starved
  }

  close(): void {
    this.#input.close()
  }

  /** Advances to the next frame that can be sent, or to the end. A failure is an end too: the frames before it are sent. */
  #advance(): void {
    this.#starved = false
    try {
      while (this.#next()) {
        if (!this.#fit()) continue
        this.#schedule()
        return
      }
    } catch (error) {
      this.failure = error as Error
      this.failure.message = `${this.#path}: ${this.failure.message}`
    }
    if (!this.#starved) this.#due = Number.POSITIVE_INFINITY
  }

  /** Whether there is another frame, in this replay or the next. */
  #next(): boolean {
    while (!this.#parser.next()) {
      const bytes = this.#input.read()
      if (bytes) this.#parser.push(bytes)
      this.#starved = bytes === undefined
      if (this.#starved) return false
      if (bytes) continue
      this.#parser.end()
      if (this.frames === this.skipped || this.#times === this.#options.count) return false
      this.#again()
    }
    this.frames++
    return true
  }

  /** Sets how much of the frame to send; false: skip it. @throws Error when it does not fit and the options say 'refuse' */
  #fit(): boolean {
    const { bytes, frame } = this.#parser
    const { offset, length, originalLength } = frame
    const { mtu, frameSize, unfit, interfaceName } = this.#options
    // Linux allows four bytes more for a frame with an 802.1Q tag (af_packet.c), and for no other.
    const tagged = length > 14 && bytes[offset + 12] === 0x81 && bytes[offset + 13] === 0
    const longest = Math.min(mtu + headerLength + (tagged ? 4 : 0), frameSize)
    this.#length = Math.min(length, longest)
    if (length >= headerLength && length <= longest) {
      if (length < originalLength) this.cut++
      return true
    }
    if (unfit === 'refuse') {
      const wrong =
        length > longest
          ? `too long for ${interfaceName}, which takes ${longest}: --unfit cut sends so much of it, --unfit skip goes on`
          : 'too short for Ethernet: --unfit skip goes on'
      throw new Error(`frame ${this.frames} has ${length} bytes, ${wrong}`)
    }
    if (unfit === 'cut' && length > longest) {
      this.shortened++
      return true
    }
    this.skipped++
    return false
  }

  /** Sets the frame's due time from its own time. */
  #schedule(): void {
    const { seconds, nanoseconds } = this.#parser.frame
    const { rate, speed, maxSleep } = this.#options
    if (rate) return
    if (Number.isNaN(this.#seconds)) [this.#seconds, this.#nanoseconds] = [seconds, nanoseconds]
    const since = (seconds - this.#seconds) * 1000 + (nanoseconds - this.#nanoseconds) / 1e6
    const excess = this.#base + since / speed - this.#due - maxSleep
    if (excess > 0) this.#base -= excess
    // A capture of several interfaces may go back in time: the order of its frames takes precedence.
    this.#due = Math.max(this.#due, this.#base + since / speed)
  }

  /** Starts again from the beginning; the first frame follows the last one at once. */
  #again(): void {
    this.#input.rewind()
    this.#parser = new CaptureParser()
    this.#times++
    this.#base = this.#due
    this.#seconds = Number.NaN
  }
}
