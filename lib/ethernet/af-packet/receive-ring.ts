import type { RingWords } from '../../ring/ring.js'
import type { PacketRingLayout, PacketRingNative } from '../native.js'

/** TP_STATUS_USER, linux/if_packet.h: the slot holds a frame, and the kernel has finished with it. */
const statusUser = 1

/**
 * The ring to which the kernel writes received frames (PACKET_MMAP, TPACKET_V2). This side only reads whether the next
 * slot holds a frame. The binding takes the frames out and counts the slots as this class does.
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

  /** Whether the next slot holds a frame: one load. */
  ready(): boolean {
    return (Atomics.load(this.#words, this.#at) & statusUser) !== 0
  }

  /** Advances past `count` slots that the binding took. */
  advance(count: number): void {
    const { slots, slotsPerBlock, slotWords, blockWords } = this.#layout
    this.#next = (this.#next + count) % slots
    const block = Math.floor(this.#next / slotsPerBlock)
    this.#at = block * blockWords + (this.#next - block * slotsPerBlock) * slotWords
  }
}
