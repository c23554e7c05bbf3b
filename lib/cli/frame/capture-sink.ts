/** A capture, in the format pcap or pcapng, to a file or to standard output. */
import { closeSync, openSync, writeSync } from 'node:fs'
import type { CaptureStatistics } from '../../ethernet/capture/encoder.js'
import { PcapEncoder } from '../../ethernet/capture/pcap-encoder.js'
import { PcapngEncoder } from '../../ethernet/capture/pcapng-encoder.js'
import type { PacketQueue } from '../../ethernet/index.js'
import type { Session } from '../session.js'
import type { FrameSink } from './frame-sink.js'

export interface CaptureOptions {
  format: 'pcap' | 'pcapng'
  nanoseconds: boolean
  snapLength: number
  interfaceName: string
  /** What was captured, for people. */
  description?: string
  /** Asked at the end. */
  statistics: () => CaptureStatistics
}

/** 'pcapng' for a file of that name, else the format that everything reads. */
export function formatOf(path: string): 'pcap' | 'pcapng' {
  return /\.(pcapng|ntar)$/i.test(path) ? 'pcapng' : 'pcap'
}

export class CaptureSink implements FrameSink {
  readonly #session: Session
  readonly #file: number | undefined
  readonly #encoder: PcapEncoder | PcapngEncoder
  readonly #statistics: () => CaptureStatistics
  #begun = false

  /** @param path '-' is standard output */
  constructor(session: Session, path: string, options: CaptureOptions) {
    const { format, nanoseconds, snapLength, interfaceName, description } = options
    this.#session = session
    this.#statistics = options.statistics
    this.#encoder =
      format === 'pcap'
        ? new PcapEncoder({ snapLength, nanoseconds })
        : new PcapngEncoder({ snapLength, interfaces: [{ name: interfaceName, description }] })
    this.#file = path === '-' ? undefined : openSync(path, 'w')
  }

  take(queue: PacketQueue, slot: number, seconds: number, nanoseconds: number): boolean {
    const offset = queue.offset(slot)
    const frame = queue.memory.subarray(offset, offset + queue.length(slot))
    return this.#encoder.add(seconds, nanoseconds, frame, queue.originalLength(slot), queue.packetType(slot))
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
      await this.flush()
      await this.#write(this.#encoder.trailer([this.#statistics()]))
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
