/** Where dump puts the frames that it receives: lines of text here, a capture in capture-sink.ts. */
import { hexDump, toHex } from '../hex.js'
import type { Session } from '../session.js'
import { frameText, payloadOffset } from './frame-text.js'

/** A frame, wherever it is: one object for all of them. */
export interface SeenFrame {
  /** Where it is, from `offset` on. */
  memory: Uint8Array
  offset: number
  length: number
  /** On the wire. */
  originalLength: number
  /** PACKET_* of packet(7); undefined: unknown. */
  packetType: number | undefined
  /** When it came. */
  seconds: number
  nanoseconds: number
}

export interface FrameSink {
  /** Takes a frame; false, taking nothing, when there is no room before the next flush. */
  take(frame: SeenFrame): boolean
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

  take({ memory, offset, length, originalLength, seconds, nanoseconds }: SeenFrame): boolean {
    if (this.#text.length >= roomForText) return false
    const frame = memory.subarray(offset, offset + Math.min(length, this.#options.snapLength))
    this.#text += this.#options.json
      ? jsonLine(seconds, nanoseconds, frame, originalLength)
      : this.#line(seconds, nanoseconds, frame, originalLength)
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
