import { Arena } from '../ring/arena.js'
import type { RingPlace } from '../verbs/queue-pair/ring-place.js'

/** The memory in which libmlx5 puts an object's rings. */
export class RingMemory {
  #arena: Arena
  readonly #largest = 2 ** 30

  /** @param guess bytes to begin with */
  constructor(guess: number) {
    this.#arena = Arena.allocate(guess)
  }

  /** In one piece, in whole pages. Views of it stay good when the object is closed. */
  get bytes(): Uint8Array<SharedArrayBuffer> {
    return this.#arena.bytes
  }

  /** Tries until the memory is large enough: what libmlx5 allocates is its own affair. @internal */
  readonly place: RingPlace = (make) => {
    for (;;) {
      const made = make(this.bytes)
      if (made.handle !== 0) return made
      const size = Math.max(2 * this.bytes.length, made.lacking ?? 0)
      if (size > this.#largest) return made
      this.#arena = Arena.allocate(size)
    }
  }
}
