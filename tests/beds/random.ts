/** Seeded random numbers (mulberry32): the same in every run, so that a failure is reproducible. */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** 32 bits, unsigned. */
  u32(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return (t ^ (t >>> 14)) >>> 0
  }

  /** In [0, 1). */
  next(): number {
    return this.u32() / 2 ** 32
  }

  /** An integer in [0, limit). */
  below(limit: number): number {
    return Math.floor(this.next() * limit)
  }

  /** An integer in [low, high]. */
  integer(low: number, high: number): number {
    return low + this.below(high - low + 1)
  }

  u16(): number {
    return this.u32() >>> 16
  }

  u8(): number {
    return this.u32() >>> 24
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.u8())
  }

  /** An Ethernet address of a single station. */
  mac(): Uint8Array {
    const bytes = this.bytes(6)
    bytes[0] = (bytes[0] & 0xfc) | 2
    return bytes
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]
  }

  /** True with this probability. */
  chance(probability: number): boolean {
    return this.next() < probability
  }
}
