/**
 * A ring of descriptors in shared memory, laid out like the kernel's AF_XDP rings (linux/if_xdp.h): one side produces
 * records and publishes its index, the other consumes them and publishes how far it came. Indices are u32, count up
 * and wrap; a record's place is its index modulo the capacity.
 *
 * Each side keeps its own index to itself and only publishes it: what else is written into the shared memory can lose
 * or repeat records, but never leads outside the ring.
 */

const producerWord = 0
const consumerWord = 16
const firstRecord = 32

/** Records in AF_XDP's shapes, as u32 words: addresses (fill, completion) and descriptors (receive, transmit). */
export const AddressRecord = { address: 0, status: 1, words: 2 } as const
export const DescriptorRecord = { address: 0, addressHigh: 1, length: 2, options: 3, words: 4 } as const

export type RingWords = Uint32Array<SharedArrayBuffer>

/** Fresh memory for a ring of at least `records` records; the capacity is rounded up to a power of two. */
export function allocateRing(records: number, recordWords: number): RingWords {
  const capacity = 2 ** Math.ceil(Math.log2(records))
  return new Uint32Array(new SharedArrayBuffer((firstRecord + capacity * recordWords) * 4))
}

function capacityOf(words: RingWords, recordWords: number): number {
  return (words.length - firstRecord) / recordWords
}

/** The end that writes records. */
export class Producer {
  readonly words: RingWords
  readonly #recordWords: number
  readonly #mask: number
  #next = 0

  constructor(words: RingWords, recordWords: number) {
    this.words = words
    this.#recordWords = recordWords
    this.#mask = capacityOf(words, recordWords) - 1
  }

  /** Takes the next place and returns its first word. The other side sees the record after {@link publish}. */
  push(): number {
    const at = firstRecord + (this.#next & this.#mask) * this.#recordWords
    this.#next = (this.#next + 1) >>> 0
    return at
  }

  /** Hands over everything pushed so far. */
  publish(): void {
    Atomics.store(this.words, producerWord, this.#next)
  }
}

/** The end that reads records. */
export class Consumer {
  readonly words: RingWords
  readonly #recordWords: number
  readonly #mask: number
  #next = 0

  constructor(words: RingWords, recordWords: number) {
    this.words = words
    this.#recordWords = recordWords
    this.#mask = capacityOf(words, recordWords) - 1
  }

  /** How many records wait; 0 when the producer's index cannot be true. */
  available(): number {
    const count = (Atomics.load(this.words, producerWord) - this.#next) >>> 0
    return count <= this.#mask + 1 ? count : 0
  }

  /** The first word of the record `ahead` of the next one. */
  at(ahead: number): number {
    return firstRecord + ((this.#next + ahead) & this.#mask) * this.#recordWords
  }

  /** Hands `count` places back. */
  consume(count: number): void {
    this.#next = (this.#next + count) >>> 0
    Atomics.store(this.words, consumerWord, this.#next)
  }
}
