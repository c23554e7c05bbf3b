/** Sinks for the frames that dump receives: lines of text here, a capture in capture-sink.ts. */

import { frameText, payloadOffset } from '../frame/frame-text.js'
import { hexDump, toHex } from '../hex.js'
import type { Session } from '../session.js'

/** A received frame: one object, reused for all frames. */
export interface SeenFrame {
  /** Holds the frame, from `offset` on. */
  memory: Uint8Array
  offset: number
  length: number
  /** Length on the wire. */
  originalLength: number
  /** PACKET_* of packet(7); undefined: unknown. */
  packetType: number | undefined
  /** Time of arrival. */
  seconds: number
  nanoseconds: number
}

export interface FrameSink {
  /** Takes a frame; false, taking nothing, when there is no room before the next flush. */
  take(frame: SeenFrame): boolean
  /** Writes everything that was taken. */
  flush(): Promise<void>
  /** Flushes and closes. */
  close(): Promise<void>
}

export interface LineOptions {
  /** Times in nanoseconds instead of microseconds. */
  nanoseconds: boolean
  /** Snapshot length: the most bytes shown of a frame. */
  snapLength: number
  /** Print the link-level header. */
  link?: boolean
  json?: boolean
  /** How often -x, -X and -t were given. */
  hex?: number
  ascii?: number
  time?: number
}

/** Characters collected before they must be written. */
const roomForText = 1 << 16

/** Prints a line for each frame, and its bytes if the options say so. */
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

/** Local time of day, as tcpdump prints it. */
function clock(seconds: number): string {
  const date = new Date(seconds * 1000)
  return [date.getHours(), date.getMinutes(), date.getSeconds()]
    .map((part) => String(part).padStart(2, '0'))
    .join(':')
}

function fraction(nanoseconds: number, fine: boolean): string {
  return fine ? String(nanoseconds).padStart(9, '0') : String(Math.floor(nanoseconds / 1000)).padStart(6, '0')
}
