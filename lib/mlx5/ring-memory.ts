import { native } from '../native.js'
import { Arena } from '../ring/arena.js'
import type { RingPlace } from '../verbs/ring-place.js'

/** What is enough for a small queue, in pages, and what is added to what was lacking: libmlx5 asks in several pieces. */
const spare = 4

const allocate = (byteLength: number): Arena => {
  const { pageSize } = native.ring
  return Arena.allocate((Math.ceil(byteLength / pageSize) + spare) * pageSize)
}

/** The memory in which libmlx5 puts an object's rings. */
export class RingMemory {
  #arena = allocate(0)

  /** In one piece, in whole pages. Views of it stay good when the object is closed. */
  get bytes(): Uint8Array<SharedArrayBuffer> {
    return this.#arena.bytes
  }

  /** Tries until the memory is large enough: what libmlx5 allocates is its own affair. @internal */
  readonly place: RingPlace = (make) => {
    for (;;) {
      const made = make(this.bytes)
      if (made.lacking === undefined) return made
      this.#arena = allocate(made.lacking)
    }
  }
}
