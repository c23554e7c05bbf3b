import { captureError, ethernetLinkType } from './captured-frame.js'
import type { Dialect, FoundFrame } from './dialect.js'
import { PcapDialect } from './pcap-parser.js'
import { Block } from './pcapng-format.js'
import { PcapngDialect } from './pcapng-parser.js'

const gzipMagic = 0x1f8b

/**
 * Reads captures in the formats pcap and pcapng, of either byte order, as their bytes arrive. It copies nothing and
 * allocates nothing for a frame: {@link next} finds the next frame in {@link bytes}.
 */
export class CaptureParser {
  /** The bytes of the last {@link push}, behind those left over from before. */
  bytes: Uint8Array = new Uint8Array(0)
  /** The frame that {@link next} found. */
  readonly frame: Readonly<FoundFrame>
  readonly #frame: FoundFrame
  #view = new DataView(this.bytes.buffer)
  #at = 0
  #passed = 0
  #dialect: Dialect | undefined

  constructor() {
    this.#frame = {
      found: false,
      offset: 0,
      length: 0,
      originalLength: 0,
      seconds: 0,
      nanoseconds: 0,
      interfaceId: 0,
      linkType: ethernetLinkType,
      packetType: -1,
    }
    this.frame = this.#frame
  }

  /** The format; undefined until enough bytes have arrived to tell. */
  get format(): 'pcap' | 'pcapng' | undefined {
    return this.#dialect?.name
  }

  /** Adds bytes, which must not change until the next push. */
  push(chunk: Uint8Array): void {
    const rest = this.bytes.subarray(this.#at)
    this.#passed += this.#at
    this.#at = 0
    this.bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    this.#view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength)
  }

  /**
   * Finds the next frame.
   *
   * @returns true: {@link frame} describes it; false: push more bytes first
   * @throws Error ERR_IBVERBS_CAPTURE for bytes that are no capture, or one of another link type than Ethernet
   */
  next(): boolean {
    const end = this.bytes.length
    try {
      this.#dialect ??= dialectOf(this.#view)
      if (!this.#dialect) return false
      for (;;) {
        this.#frame.found = false
        const taken = this.#dialect.read(this.#view, this.#at, end, this.#frame)
        if (taken === 0) return false
        this.#at += taken
        if (this.#frame.found) break
      }
    } catch (error) {
      throw captureError(`at byte ${this.#passed + this.#at}: ${(error as Error).message}`)
    }
    if (this.#frame.linkType !== ethernetLinkType) {
      throw captureError(
        `frames of link type ${this.#frame.linkType}, not of Ethernet (1): see https://www.tcpdump.org/linktypes.html`,
      )
    }
    return true
  }

  /** Ends the capture. @throws Error ERR_IBVERBS_CAPTURE when the last record is incomplete, or there was none */
  end(): void {
    const left = this.bytes.length - this.#at
    if (!this.#dialect) throw captureError(`${left} bytes are no capture in the format pcap or pcapng`)
    if (left > 0) {
      throw captureError(
        `the capture was cut: ${left} bytes of an unfinished record at byte ${this.#passed + this.#at}`,
      )
    }
  }
}

/** The format by its first bytes; undefined while there are too few. */
function dialectOf(view: DataView): Dialect | undefined {
  if (view.byteLength < 4) return undefined
  if (view.getUint32(0) === Block.section) return new PcapngDialect()
  const dialect = PcapDialect.of(view)
  if (dialect) return dialect
  if (view.getUint16(0) === gzipMagic) throw new Error('it is compressed: use gunzip first')
  throw new Error('this begins neither a pcap nor a pcapng capture')
}
