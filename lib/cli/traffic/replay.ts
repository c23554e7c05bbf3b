/** The frames of a capture, when they are due. */
import { CaptureParser } from '../../capture/parser.js'
import { ethernetHeaderLength } from '../frame/frame-text.js'
import { Input } from '../input.js'
import { UsageError } from '../usage.js'
import { gapOf, type Rate } from './rate.js'
import type { FrameSource } from './transmit.js'

/** Of a frame that cannot be sent: an error, passed over, or sent as far as it goes (one too short is passed over then). */
export type Unfit = 'refuse' | 'skip' | 'cut'

export interface ReplayOptions {
  /** How often the whole of it. */
  count: number
  /** How much faster than it was captured; of no matter with a rate. */
  speed: number
  /** Undefined: as it was captured. */
  rate: Rate | undefined
  /** Most milliseconds between one frame and the next; Infinity: as long as it was; of no matter with a rate. */
  maxSleep: number
  /** What to do with a frame that is longer than the interface takes, or no Ethernet frame at all. */
  unfit: Unfit
  /** Of the interface: its largest payload, in bytes. */
  mtu: number
  /** Bytes that there are for a frame. */
  frameSize: number
  /** For errors: what takes no longer frame. */
  interfaceName: string
}

export class Replay implements FrameSource {
  /** Frames that had been cut when they were captured: they are sent as they are. */
  cut = 0
  /** Frames too long to be sent, of which so much was sent as the interface takes. */
  shortened = 0
  /** Frames that were passed over. */
  skipped = 0
  /** Frames read so far, with those passed over. */
  frames = 0
  /** Why the capture could not be read to its end; the frames before are sent. */
  failure: Error | undefined
  readonly #path: string
  readonly #options: ReplayOptions
  readonly #input: Input
  /** Nothing more was there, and this was not the end: of a pipe. */
  #starved = false
  #parser = new CaptureParser()
  #times = 1
  /** How much of the frame is sent. */
  #length = 0
  #due = 0
  /** Of the first frame, and what is added to the distance from it: the duration of the times before. */
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

  /** Whether all of it was read. */
  get ended(): boolean {
    return this.#due === Number.POSITIVE_INFINITY && !this.#starved
  }

  close(): void {
    this.#input.close()
  }

  /** Goes on to the next frame that can be sent, or to the end. A failure is an end too: what came before it goes out. */
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

  /** Whether there is another frame, this time through the capture or the next. */
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

  /** Whether the frame is sent, and how much of it. @throws Error when it does not fit and nobody said what to do then */
  #fit(): boolean {
    const { bytes, frame } = this.#parser
    const { offset, length, originalLength } = frame
    const { mtu, frameSize, unfit, interfaceName } = this.#options
    // Linux lets a frame with a tag of 802.1Q be four bytes longer (af_packet.c), and no other.
    const tagged = length > 14 && bytes[offset + 12] === 0x81 && bytes[offset + 13] === 0
    const longest = Math.min(mtu + ethernetHeaderLength + (tagged ? 4 : 0), frameSize)
    this.#length = Math.min(length, longest)
    if (length >= ethernetHeaderLength && length <= longest) {
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

  /** When the frame is due, by its own time. */
  #schedule(): void {
    const { seconds, nanoseconds } = this.#parser.frame
    const { rate, speed, maxSleep } = this.#options
    if (rate) return
    if (Number.isNaN(this.#seconds)) [this.#seconds, this.#nanoseconds] = [seconds, nanoseconds]
    const since = (seconds - this.#seconds) * 1000 + (nanoseconds - this.#nanoseconds) / 1e6
    const excess = this.#base + since / speed - this.#due - maxSleep
    if (excess > 0) this.#base -= excess
    // A capture of several interfaces may go back in time: order counts for more.
    this.#due = Math.max(this.#due, this.#base + since / speed)
  }

  /** From the beginning; the first frame follows the last one at once. */
  #again(): void {
    this.#input.rewind()
    this.#parser = new CaptureParser()
    this.#times++
    this.#base = this.#due
    this.#seconds = Number.NaN
  }
}
