/** Where dump puts the frames that it receives: lines of text here, a capture in capture-sink.ts. */
import type { PacketQueue } from '../../ethernet/index.js'
import { hexDump, toHex } from '../hex.js'
import type { Session } from '../session.js'
import { frameText, payloadOffset } from './frame-text.js'

export interface FrameSink {
  /** Takes a frame that came at this time; false, taking nothing, when there is no room before the next flush. */
  take(queue: PacketQueue, slot: number, seconds: number, nanoseconds: number): boolean
  /** Lets go of everything that was taken. */
  flush(): Promise<void>
  /** Flushes and closes. */
  close(): Promise<void>
}

export interface LineOptions {
  /** Times in nanoseconds instead of microseconds. */
  nanoseconds: boolean
  /** How many bytes of a frame are shown at most. */
  snapLength: number
  /** With the link-level header. */
  link?: boolean
  json?: boolean
  /** How often -x, -X and -t were given. */
  hex?: number
  ascii?: number
  time?: number
}

/** As many characters as are collected before they must be written. */
const roomForText = 1 << 16

/** A line a frame, and its bytes where asked. */
export class LineSink implements FrameSink {
  readonly #session: Session
  readonly #options: LineOptions
  #text = ''

  constructor(session: Session, options: LineOptions) {
    this.#session = session
    this.#options = options
  }

  take(queue: PacketQueue, slot: number, seconds: number, nanoseconds: number): boolean {
    if (this.#text.length >= roomForText) return false
    const offset = queue.offset(slot)
    const kept = Math.min(queue.length(slot), this.#options.snapLength)
    const frame = queue.memory.subarray(offset, offset + kept)
    const wireLength = queue.originalLength(slot)
    this.#text += this.#options.json
      ? jsonLine(seconds, nanoseconds, frame, wireLength)
      : this.#line(seconds, nanoseconds, frame, wireLength)
    return true
  }

  #line(seconds: number, nanoseconds: number, frame: Uint8Array, wireLength: number): string {
    const { link, hex = 0, ascii = 0, time = 0, nanoseconds: fine } = this.#options
    const when =
      time === 1 ? '' : `${time > 1 ? String(seconds) : clock(seconds)}.${fraction(nanoseconds, fine)} `
    let text = `${when}${frameText(frame, { link, wireLength })}\n`
    if (hex > 0 || ascii > 0) {
      const withLink = hex > 1 || ascii > 1
      const bytes = withLink ? frame : frame.subarray(payloadOffset(frame))
      if (bytes.length > 0) text += `${hexDump(bytes, ascii > 0)}\n`
    }
    return text
  }

  async flush(): Promise<void> {
    if (this.#text === '') return
    const text = Buffer.from(this.#text)
    this.#text = ''
    await this.#session.write(text)
  }

  close(): Promise<void> {
    return this.flush()
  }
}

function jsonLine(seconds: number, nanoseconds: number, frame: Uint8Array, wireLength: number): string {
  const time = `${seconds}.${fraction(nanoseconds, true)}`
  const text = frameText(frame, { link: true, wireLength })
  return `${JSON.stringify({ time, length: wireLength, text, bytes: toHex(frame) })}\n`
}

/** Local time of the day, as tcpdump prints it. */
function clock(seconds: number): string {
  const date = new Date(seconds * 1000)
  return [date.getHours(), date.getMinutes(), date.getSeconds()]
    .map((part) => String(part).padStart(2, '0'))
    .join(':')
}

function fraction(nanoseconds: number, fine: boolean): string {
  return fine ? String(nanoseconds).padStart(9, '0') : String(Math.floor(nanoseconds / 1000)).padStart(6, '0')
}
