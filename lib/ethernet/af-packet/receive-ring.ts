import type { RingWords } from '../../ring/ring.js'
import type { PacketRingLayout, PacketRingNative } from '../native.js'

/** linux/if_packet.h: the slot holds a frame; the kernel has finished with it. */
const statusUser = 1

/**
 * The ring that the kernel writes received frames to (PACKET_MMAP, TPACKET_V2), as this thread sees it: only whether the
 * next slot holds a frame. The binding, which counts slots as this does, takes the frames out.
 */
export class PacketRing {
  readonly #words: RingWords
  readonly #layout: PacketRingLayout
  #next = 0
  /** The status word of slot {@link #next}. */
  #at = 0

  constructor({ words, layout }: PacketRingNative) {
    this.#words = words
    this.#layout = layout
  }

  /** Whether a frame is there: one load. */
  ready(): boolean {
    return (Atomics.load(this.#words, this.#at) & statusUser) !== 0
  }

  /** So many slots were taken. */
  advance(count: number): void {
    const { slots, slotsPerBlock, slotWords, blockWords } = this.#layout
    this.#next = (this.#next + count) % slots
    const block = Math.floor(this.#next / slotsPerBlock)
    this.#at = block * blockWords + (this.#next - block * slotsPerBlock) * slotWords
  }
}
