/** Writes a capture, in the format pcap or pcapng, to a file or to standard output. */
import type { CaptureStatistics } from '../../capture/encoder.js'
import { PcapEncoder } from '../../capture/pcap-encoder.js'
import { PcapngEncoder } from '../../capture/pcapng-encoder.js'
import { Output } from '../output.js'
import type { Session } from '../session.js'
import type { FrameSink, SeenFrame } from './frame-sink.js'

export interface CaptureOptions {
  format: 'pcap' | 'pcapng'
  nanoseconds: boolean
  snapLength: number
  interfaceName: string
  /** Description of the capture, for people. */
  description?: string
  /** Called at the end. */
  statistics: () => CaptureStatistics
}

/** 'pcapng' for a file with that extension, else 'pcap', which every program reads. */
export function formatOf(path: string): 'pcap' | 'pcapng' {
  return /\.(pcapng|ntar)$/i.test(path) ? 'pcapng' : 'pcap'
}

export class CaptureSink implements FrameSink {
  readonly #session: Session
  /** Undefined: standard output. */
  readonly #output: Output | undefined
  readonly #encoder: PcapEncoder | PcapngEncoder
  readonly #statistics: () => CaptureStatistics
  #begun = false
  #failed = false

  private constructor(session: Session, output: Output | undefined, options: CaptureOptions) {
    const { format, nanoseconds, snapLength, interfaceName, description } = options
    this.#session = session
    this.#statistics = options.statistics
    this.#encoder =
      format === 'pcap'
        ? new PcapEncoder({ snapLength, nanoseconds })
        : new PcapngEncoder({ snapLength, interfaces: [{ name: interfaceName, description }] })
    this.#output = output
  }

  /** @param path '-' is standard output */
  static async open(session: Session, path: string, options: CaptureOptions): Promise<CaptureSink> {
    const output = path === '-' ? undefined : await Output.open(path, session.signal)
    return new CaptureSink(session, output, options)
  }

  take({ memory, offset, length, originalLength, packetType, seconds, nanoseconds }: SeenFrame): boolean {
    const frame = memory.subarray(offset, offset + length)
    return this.#encoder.add(seconds, nanoseconds, frame, originalLength, packetType)
  }

  async flush(): Promise<void> {
    if (!this.#begun) {
      this.#begun = true
      await this.#write(this.#encoder.header())
    }
    await this.#write(this.#encoder.take())
  }

  async close(): Promise<void> {
    try {
      // After a failed write, nothing more is written.
      if (this.#failed) return
      await this.flush()
      await this.#write(this.#encoder.trailer([this.#statistics()]))
    } finally {
      await this.#output?.close()
    }
  }

  async #write(bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0) return
    try {
      // A copy: the buffer is reused before a slow reader has taken the bytes.
      await (this.#output ? this.#output.write(bytes) : this.#session.write(bytes.slice()))
    } catch (error) {
      this.#failed = true
      throw error
    }
  }
}
