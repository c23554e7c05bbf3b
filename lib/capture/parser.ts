import { captureError, ethernetLinkType } from './captured-frame.js'
import type { Dialect, FoundFrame } from './dialect.js'
import { PcapDialect } from './pcap-parser.js'
import { Block } from './pcapng-format.js'
import { PcapngDialect } from './pcapng-parser.js'

const gzipMagic = 0x1f8b

/**
 * Reads captures in the formats pcap and pcapng, of either byte order, as their bytes come. Nothing is copied and nothing
 * allocated a frame: {@link next} says where in {@link bytes} the next one lies.
 */
export class CaptureParser {
  /** The bytes there are: those of the last {@link push}, and what was left before. */
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

  /** Which format it is; undefined until that is known. */
  get format(): 'pcap' | 'pcapng' | undefined {
    return this.#dialect?.name
  }

  /** More bytes: they must stay as they are until the next time. */
  push(chunk: Uint8Array): void {
    const rest = this.bytes.subarray(this.#at)
    this.#passed += this.#at
    this.#at = 0
    this.bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    this.#view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength)
  }

  /**
   * Looks for the next frame.
   *
   * @returns whether there is one: {@link frame}; if not, more bytes are needed
   * @throws Error ERR_IBVERBS_CAPTURE for what is no capture, or none of Ethernet
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

  /** There are no more bytes. @throws Error ERR_IBVERBS_CAPTURE when the last record is not whole, or there is none */
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
  throw new Error('neither pcap nor pcapng begins like that')
}
