/** Where dump puts the frames that it receives: lines of text, or a capture. */
import { closeSync, openSync, writeSync } from 'node:fs'
import type { PacketQueue } from '../../ethernet/index.js'
import { hexDump, toHex } from '../hex.js'
import { PcapBuffer, pcapHeader } from '../pcap.js'
import type { Session } from '../session.js'
import { frameText, payloadOffset } from './frame-text.js'

export interface FrameSink {
  /** Takes a frame; false, taking nothing, when there is no room before the next flush. */
  take(queue: PacketQueue, slot: number): boolean
  /** Lets go of everything that was taken. */
  flush(): Promise<void>
  /** Flushes and closes. */
  close(): Promise<void>
}

/** A frame as it was on the wire. */
class WireFrame {
  #tagged = new Uint8Array(0)

  /** The bytes there are, valid until the next frame. The kernel takes a VLAN tag out of a frame: it is put back. */
  bytes(queue: PacketQueue, slot: number): Uint8Array {
    const offset = queue.offset(slot)
    const frame = queue.memory.subarray(offset, offset + queue.length(slot))
    const tag = queue.vlan(slot)
    if (tag === 0) return frame
    const length = frame.length + 4
    if (this.#tagged.length < length) this.#tagged = new Uint8Array(2 * length)
    const tagged = this.#tagged.subarray(0, length)
    // Behind the two addresses (IEEE 802.1Q, 9.3).
    tagged.set(frame.subarray(0, 12))
    new DataView(tagged.buffer, tagged.byteOffset).setUint32(12, tag)
    tagged.set(frame.subarray(12), 16)
    return tagged
  }

  length(queue: PacketQueue, slot: number): number {
    return queue.originalLength(slot) + (queue.vlan(slot) === 0 ? 0 : 4)
  }
}

export interface CaptureOptions {
  nanoseconds: boolean
  snapLength: number
}

/** A capture in the pcap format, to a file or to standard output. */
export class CaptureSink implements FrameSink {
  readonly #session: Session
  readonly #file: number | undefined
  readonly #buffer: PcapBuffer
  readonly #frame = new WireFrame()
  #header: Uint8Array | undefined

  /** @param path '-' is standard output */
  constructor(session: Session, path: string, options: CaptureOptions) {
    this.#session = session
    this.#buffer = new PcapBuffer(options)
    this.#header = pcapHeader(options)
    this.#file = path === '-' ? undefined : openSync(path, 'w')
  }

  take(queue: PacketQueue, slot: number): boolean {
    const frame = this.#frame.bytes(queue, slot)
    const length = this.#frame.length(queue, slot)
    return this.#buffer.add(queue.seconds(slot), queue.nanoseconds(slot), frame, length)
  }

  async flush(): Promise<void> {
    if (this.#header) {
      const header = this.#header
      this.#header = undefined
      await this.#write(header)
    }
    await this.#write(this.#buffer.take())
  }

  async close(): Promise<void> {
    try {
      await this.flush()
    } finally {
      if (this.#file !== undefined) closeSync(this.#file)
    }
  }

  async #write(bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0) return
    if (this.#file === undefined) {
      // The buffer is filled again before a slow reader has taken it.
      await this.#session.write(bytes.slice())
      return
    }
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#file, bytes, at)
  }
}

export interface LineOptions extends CaptureOptions {
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
  readonly #frame = new WireFrame()
  #text = ''

  constructor(session: Session, options: LineOptions) {
    this.#session = session
    this.#options = options
  }

  take(queue: PacketQueue, slot: number): boolean {
    if (this.#text.length >= roomForText) return false
    const whole = this.#frame.bytes(queue, slot)
    const frame = whole.subarray(0, this.#options.snapLength)
    const wireLength = this.#frame.length(queue, slot)
    const seconds = queue.seconds(slot)
    const nanoseconds = queue.nanoseconds(slot)
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
