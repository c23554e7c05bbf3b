/** Indices of frames, first in first out: at most one for each frame of a pool. */
export class FrameFifo {
  readonly #indices: Uint32Array
  readonly #mask: number
  #head = 0
  #count = 0

  /** @param most how many frames there are */
  constructor(most: number) {
    const capacity = 2 ** Math.ceil(Math.log2(most))
    this.#indices = new Uint32Array(capacity)
    this.#mask = capacity - 1
  }

  get count(): number {
    return this.#count
  }

  /** The oldest, where there is one. */
  get first(): number {
    return this.#indices[this.#head]
  }

  push(index: number): void {
    this.#indices[(this.#head + this.#count++) & this.#mask] = index
  }

  /** Takes the oldest out. */
  shift(): void {
    this.#head = (this.#head + 1) & this.#mask
    this.#count--
  }

  clear(): void {
    this.#count = 0
  }
}
