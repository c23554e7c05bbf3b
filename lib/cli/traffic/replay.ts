/** The frames of a capture, when they are due. */
import { closeSync, openSync, readSync } from 'node:fs'
import { CaptureParser } from '../../ethernet/capture/parser.js'
import { gapOf, type Rate } from './rate.js'
import type { FrameSource } from './transmit.js'

const chunkSize = 1 << 20

export interface ReplayOptions {
  /** How often the whole of it. */
  count: number
  /** How much faster than it was captured; of no matter with a rate. */
  speed: number
  /** Undefined: as it was captured. */
  rate: Rate | undefined
  /** The longest frame that can be sent, in bytes. */
  longest: number
  /** For errors: what takes no longer frame. */
  interfaceName: string
}

export class Replay implements FrameSource {
  /** Frames that had been cut when they were captured: they are sent as they are. */
  cut = 0
  /** Frames read so far. */
  frames = 0
  readonly #path: string
  readonly #options: ReplayOptions
  /** What was left of one chunk is still needed when the next is read. */
  readonly #chunks = [Buffer.allocUnsafeSlow(chunkSize), Buffer.allocUnsafeSlow(chunkSize)]
  #file: number
  #parser = new CaptureParser()
  #times = 1
  #due = 0
  /** Of the first frame, and what is added to the distance from it: the duration of the times before. */
  #seconds = Number.NaN
  #nanoseconds = 0
  #base = 0

  /** @throws Error ERR_IBVERBS_CAPTURE, and those of open(2) */
  constructor(path: string, options: ReplayOptions) {
    this.#path = path
    this.#options = options
    this.#file = openSync(path, 'r')
    try {
      this.#advance()
    } catch (error) {
      this.close()
      throw error
    }
  }

  due(): number {
    return this.#due
  }

  write(memory: Uint8Array, offset: number): number {
    const { bytes, frame } = this.#parser
    const { length } = frame
    memory.set(bytes.subarray(frame.offset, frame.offset + length), offset)
    const gap = this.#options.rate ? gapOf(this.#options.rate, length) : 0
    const before = this.#due
    this.#advance()
    if (this.#options.rate && this.#due < Number.POSITIVE_INFINITY) this.#due = before + gap
    return length
  }

  close(): void {
    if (this.#file >= 0) closeSync(this.#file)
    this.#file = -1
  }

  /** Goes on to the next frame, or to the end. */
  #advance(): void {
    try {
      while (!this.#parser.next()) {
        if (this.#read()) continue
        this.#parser.end()
        if (this.frames === 0 || this.#times === this.#options.count) {
          this.#due = Number.POSITIVE_INFINITY
          return
        }
        this.#again()
      }
    } catch (error) {
      if (error instanceof Error) error.message = `${this.#path}: ${error.message}`
      throw error
    }
    const { length, originalLength, seconds, nanoseconds } = this.#parser.frame
    const { longest, interfaceName, rate, speed } = this.#options
    this.frames++
    if (length > longest || length < 14) {
      const wrong =
        length < 14 ? 'too short for Ethernet' : `too long for ${interfaceName}, which takes ${longest}`
      throw new Error(`${this.#path}: frame ${this.frames} has ${length} bytes, ${wrong}`)
    }
    if (length < originalLength) this.cut++
    if (rate) return
    if (Number.isNaN(this.#seconds)) [this.#seconds, this.#nanoseconds] = [seconds, nanoseconds]
    const since = (seconds - this.#seconds) * 1000 + (nanoseconds - this.#nanoseconds) / 1e6
    // A capture of several interfaces may go back in time: order counts for more.
    this.#due = Math.max(this.#due, this.#base + since / speed)
  }

  #read(): boolean {
    const chunk = this.#chunks[0]
    this.#chunks.reverse()
    const length = readSync(this.#file, chunk, 0, chunkSize, null)
    if (length > 0) this.#parser.push(chunk.subarray(0, length))
    return length > 0
  }

  /** From the beginning; the first frame follows the last one at once. */
  #again(): void {
    this.close()
    this.#file = openSync(this.#path, 'r')
    this.#parser = new CaptureParser()
    this.#times++
    this.#base = this.#due
    this.#seconds = Number.NaN
  }
}
