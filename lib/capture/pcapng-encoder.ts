import { integer, type Names, object, options as optionsOf, string, typeError } from '../argument.js'
import { ethernetLinkType } from './captured-frame.js'
import {
  type CaptureStatistics,
  checkFrame,
  type EncoderOptions,
  encoderOptionNames,
  FrameEncoder,
} from './encoder.js'
import { Block, byteOrderMagic, Option, packetFlags, padded } from './pcapng-format.js'
import { nanosecondsHigh, nanosecondsLow } from './timestamp.js'

/** An interface that frames were captured on. */
export interface CaptureInterface {
  /** Its name, such as 'eth0'. Default: none is written. */
  name?: string
  /** A description for people. Default: none is written. */
  description?: string
}
const captureInterfaceNames = { name: true, description: true } as const satisfies Names<CaptureInterface>

/** Options of {@link PcapngEncoder}. */
export interface PcapngEncoderOptions extends EncoderOptions {
  /** The interfaces; a frame's `interfaceId` is an index into them. Default: one without a name. */
  interfaces?: readonly CaptureInterface[]
}
const pcapngEncoderOptionNames = {
  ...encoderOptionNames,
  interfaces: true,
} as const satisfies Names<PcapngEncoderOptions>

/** In the year 2554: the format stores nanoseconds in 64 bits. */
const latestSecond = Math.floor(2 ** 64 / 1e9) - 1
/** A block's type and length before its body, and the length again behind it. */
const envelope = 12
/** Interface, time and two lengths before the frame; its flags and the end of options behind it. */
const packetHeader = 20
const packetOptions = 12

/**
 * The pcapng format: a section header, its interfaces, an enhanced packet block with direction for each frame, and at the
 * end a statistics block for each interface. Written in little-endian order, with timestamps in nanoseconds.
 */
export class PcapngEncoder extends FrameEncoder {
  readonly #interfaces: readonly CaptureInterface[]
  readonly #begin = Date.now()

  /** @throws TypeError, RangeError */
  constructor(options?: PcapngEncoderOptions) {
    const given = optionsOf('options', options, pcapngEncoderOptionNames)
    super(given, envelope + packetHeader + 3 + packetOptions)
    const { interfaces = [{}] } = given
    if (!Array.isArray(interfaces) || interfaces.length === 0) {
      throw typeError('options.interfaces', 'an array of at least one { name, description }', interfaces)
    }
    for (const [i, each] of (interfaces as readonly CaptureInterface[]).entries()) {
      const place = `options.interfaces[${i}]`
      const { name, description } = object(place, each, 'a { name, description }', captureInterfaceNames)
      if (name !== undefined) string(`${place}.name`, name)
      if (description !== undefined) string(`${place}.description`, description)
    }
    this.#interfaces = interfaces
  }

  override header(): Uint8Array {
    const section = Buffer.alloc(16)
    section.writeUInt32LE(byteOrderMagic, 0)
    section.writeUInt16LE(1, 4) // version 1.0
    section.fill(0xff, 8) // the section's length: not known yet
    return Buffer.concat([
      block(Block.section, section, option(Option.application, Buffer.from('ibverbs'))),
      ...this.#interfaces.map(({ name, description }) => {
        const body = Buffer.alloc(8)
        body.writeUInt16LE(ethernetLinkType, 0)
        body.writeUInt32LE(this.snapLength, 4)
        return block(
          Block.interface,
          body,
          name === undefined ? empty : option(Option.interfaceName, Buffer.from(name)),
          description === undefined ? empty : option(Option.interfaceDescription, Buffer.from(description)),
          option(Option.resolution, Buffer.of(9)),
        )
      }),
    ])
  }

  override add(
    seconds: number,
    nanoseconds: number,
    frame: Uint8Array,
    length = frame.length,
    packetType = -1,
    interfaceId = 0,
  ): boolean {
    checkFrame(seconds, nanoseconds, frame, length, latestSecond)
    const kept = Math.min(frame.length, this.snapLength)
    const room = padded(kept)
    const flags = packetFlags[packetType] ?? 0
    const total = envelope + packetHeader + room + (flags === 0 ? 0 : packetOptions)
    const { bytes } = this
    const at = this.used
    if (!(interfaceId >= 0 && interfaceId < this.#interfaces.length)) {
      integer('interfaceId', interfaceId, 0, this.#interfaces.length - 1)
    }
    if (at + total > bytes.length) return false
    bytes.writeUInt32LE(Block.enhancedPacket, at)
    bytes.writeUInt32LE(total, at + 4)
    bytes.writeUInt32LE(interfaceId, at + 8)
    bytes.writeUInt32LE(nanosecondsHigh(seconds, nanoseconds), at + 12)
    bytes.writeUInt32LE(nanosecondsLow(seconds, nanoseconds), at + 16)
    bytes.writeUInt32LE(kept, at + 20)
    bytes.writeUInt32LE(length, at + 24)
    let end = at + 28
    bytes.set(kept === frame.length ? frame : frame.subarray(0, kept), end)
    for (end += kept; (end - at) & 3; end++) bytes[end] = 0
    if (flags !== 0) {
      bytes.writeUInt16LE(Option.flags, end)
      bytes.writeUInt16LE(4, end + 2)
      bytes.writeUInt32LE(flags, end + 4)
      bytes.writeUInt32LE(Option.end, end + 8)
      end += packetOptions
    }
    bytes.writeUInt32LE(total, end)
    this.used = end + 4
    return true
  }

  override trailer(statistics: readonly CaptureStatistics[]): Uint8Array {
    const now = Date.now()
    return Buffer.concat(
      statistics.map(({ received, dropped }, i) => {
        const body = Buffer.alloc(12)
        body.writeUInt32LE(integer('interface', i, 0, this.#interfaces.length - 1), 0)
        time(now).copy(body, 4)
        return block(
          Block.interfaceStatistics,
          body,
          option(Option.startTime, time(this.#begin)),
          option(Option.endTime, time(now)),
          received === undefined ? empty : option(Option.received, count(received)),
          dropped === undefined ? empty : option(Option.dropped, count(dropped)),
        )
      }),
    )
  }
}

const empty = Buffer.alloc(0)

/** A block, with its options if it has any. */
function block(type: number, body: Buffer, ...options: Buffer[]): Buffer {
  const end = options.some((each) => each.length > 0) ? option(Option.end, empty) : empty
  const content = Buffer.concat([body, ...options, end])
  const result = Buffer.alloc(envelope + content.length)
  result.writeUInt32LE(type, 0)
  result.writeUInt32LE(result.length, 4)
  content.copy(result, 8)
  result.writeUInt32LE(result.length, result.length - 4)
  return result
}

function option(code: number, value: Buffer): Buffer {
  const result = Buffer.alloc(4 + padded(value.length))
  result.writeUInt16LE(code, 0)
  result.writeUInt16LE(value.length, 2)
  value.copy(result, 4)
  return result
}

/** Milliseconds since 1970 as a timestamp: the upper 32 bits come first. */
function time(milliseconds: number): Buffer {
  const seconds = Math.floor(milliseconds / 1000)
  const nanoseconds = (milliseconds % 1000) * 1e6
  const result = Buffer.alloc(8)
  result.writeUInt32LE(nanosecondsHigh(seconds, nanoseconds), 0)
  result.writeUInt32LE(nanosecondsLow(seconds, nanoseconds), 4)
  return result
}

/** A 64-bit counter. */
function count(value: number): Buffer {
  const result = Buffer.alloc(8)
  result.writeBigUInt64LE(BigInt(value))
  return result
}
