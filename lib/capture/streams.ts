import { Transform, type TransformCallback } from 'node:stream'
import { afterRest } from '../after-rest.js'
import { type Names, oneOf, options as optionsOf, typeError } from '../argument.js'
import type { CapturedFrame } from './captured-frame.js'
import type { CaptureStatistics, FrameEncoder } from './encoder.js'
import { CaptureParser } from './parser.js'
import { PcapEncoder } from './pcap-encoder.js'
import { type CaptureInterface, PcapngEncoder } from './pcapng-encoder.js'

/** Options of {@link CaptureEncoder}. */
export interface CaptureEncoderOptions {
  /** 'pcap' has one interface, and neither directions nor statistics. Default 'pcapng'. */
  format?: 'pcap' | 'pcapng'
  /** Snapshot length: the most bytes kept of a frame. Default 262144: all of it. */
  snapLength?: number
  /** For pcap: timestamps in nanoseconds instead of microseconds. Default true; pcapng always has nanoseconds. */
  nanoseconds?: boolean
  /** For pcapng: the interfaces; a frame's `interfaceId` is an index into them. Default: one without a name. */
  interfaces?: readonly CaptureInterface[]
  /**
   * For pcapng: called at the end for the counters of each interface, `() => [queue.statistics()]`. Default: none are
   * written.
   */
  statistics?: () => readonly CaptureStatistics[]
}
const captureEncoderOptionNames = {
  format: true,
  snapLength: true,
  nanoseconds: true,
  interfaces: true,
  statistics: true,
} as const satisfies Names<CaptureEncoderOptions>

/**
 * Turns frames ({@link CapturedFrame}) into the bytes of a capture, for tcpdump, Wireshark and every other program that
 * reads pcap or pcapng: `pipeline(new FrameReadable(queue), new CaptureEncoder(), createWriteStream('frames.pcapng'))`.
 *
 * A frame that cannot be written (a time that the format cannot hold, an original length below that of its data) ends the
 * stream with a TypeError or RangeError, after the frames before it.
 */
export class CaptureEncoder extends Transform {
  readonly #encoder: FrameEncoder
  readonly #statistics: CaptureEncoderOptions['statistics']
  readonly #interfaces: number
  #begun = false

  /** @throws TypeError, RangeError */
  constructor(options?: CaptureEncoderOptions) {
    const {
      format = 'pcapng',
      snapLength,
      nanoseconds = true,
      interfaces,
      statistics,
    } = optionsOf('options', options, captureEncoderOptionNames)
    super({ writableObjectMode: true })
    oneOf('options.format', format, ['pcap', 'pcapng'])
    if (statistics !== undefined && typeof statistics !== 'function') {
      throw typeError('options.statistics', 'a function', statistics)
    }
    const others = format === 'pcap' ? (['interfaces', 'statistics'] as const) : (['nanoseconds'] as const)
    for (const name of others) {
      const given = options?.[name]
      // `nanoseconds: true` is pcapng's only choice, and allowed.
      if (given !== undefined && given !== true) {
        throw typeError(`options.${name}`, `left out: '${format}' has no such choice`, given)
      }
    }
    this.#encoder =
      format === 'pcap'
        ? new PcapEncoder({ snapLength, nanoseconds, capacity: 0 })
        : new PcapngEncoder({ snapLength, interfaces, capacity: 0 })
    this.#interfaces = format === 'pcap' ? 1 : (interfaces?.length ?? 1)
    this.#statistics = statistics
  }

  override _transform(frame: CapturedFrame, _encoding: BufferEncoding, done: TransformCallback): void {
    try {
      this.#begin()
      check(frame, this.#interfaces)
      const { seconds, nanoseconds, data, originalLength, packetType, interfaceId } = frame
      this.#encoder.add(seconds, nanoseconds, data, originalLength, packetType, interfaceId)
      done(null, Buffer.from(this.#encoder.take()))
    } catch (error) {
      afterRest(this, () => done(error as Error))
    }
  }

  override _flush(done: TransformCallback): void {
    try {
      this.#begin()
      const trailer = this.#statistics ? this.#encoder.trailer(this.#statistics()) : undefined
      if (trailer && trailer.length > 0) this.push(trailer)
      done()
    } catch (error) {
      afterRest(this, () => done(error as Error))
    }
  }

  #begin(): void {
    if (this.#begun) return
    this.#begun = true
    this.push(this.#encoder.header())
  }
}

function check(frame: CapturedFrame, interfaces: number): void {
  if (!(frame?.data instanceof Uint8Array)) throw typeError('frame.data', 'a Uint8Array', frame?.data)
  for (const name of ['seconds', 'nanoseconds', 'originalLength'] as const) {
    if (!Number.isSafeInteger(frame[name]) || frame[name] < 0) {
      throw typeError(`frame.${name}`, 'a whole number, at least 0', frame[name])
    }
  }
  const { interfaceId = 0 } = frame
  if (!(interfaceId < interfaces)) throw typeError('frame.interfaceId', `below ${interfaces}`, interfaceId)
}

/**
 * Turns the bytes of a capture, pcap or pcapng of either byte order, into frames ({@link CapturedFrame}): `for await (const
 * frame of createReadStream('frames.pcapng').pipe(new CaptureDecoder()))`.
 *
 * It ends with Error ERR_IBVERBS_CAPTURE for bytes that are no capture, for a truncated capture, and for another link type
 * than Ethernet; it delivers all frames before that first.
 */
export class CaptureDecoder extends Transform {
  readonly #parser = new CaptureParser()

  constructor() {
    super({ readableObjectMode: true })
  }

  override _transform(chunk: Uint8Array, _encoding: BufferEncoding, done: TransformCallback): void {
    const parser = this.#parser
    try {
      parser.push(chunk)
      while (parser.next()) {
        const { offset, length, originalLength, seconds, nanoseconds, packetType, interfaceId } = parser.frame
        const frame: CapturedFrame = {
          data: Buffer.from(parser.bytes.subarray(offset, offset + length)),
          originalLength,
          seconds,
          nanoseconds,
          interfaceId,
        }
        if (packetType >= 0) frame.packetType = packetType
        this.push(frame)
      }
      done()
    } catch (error) {
      afterRest(this, () => done(error as Error))
    }
  }

  override _flush(done: TransformCallback): void {
    try {
      this.#parser.end()
      done()
    } catch (error) {
      afterRest(this, () => done(error as Error))
    }
  }
}
