import { inspect } from 'node:util'
import { typeError } from '../argument.js'

/** Whose a frame is. From {@link SlotState.held} on, each number is one ring of one queue that holds it. */
export const SlotState = { free: 0, caller: 1, held: 2 } as const

/**
 * A slot that the caller does not have: an Error with code ERR_IBVERBS_STALE_SLOT.
 */
export function staleSlotError(message: string): Error {
  return Object.assign(new Error(message), { code: 'ERR_IBVERBS_STALE_SLOT' })
}

/**
 * Who owns each frame of an arena, and the numbers by which callers know them.
 *
 * A slot is a frame's index and a generation that changes each time the frame is handed out, in one number of 30 bits
 * (a Smi: passing one allocates nothing). A number that was kept too long names an older generation and is refused. All
 * of this lives in memory of this thread's own: nothing that is written into shared memory can change who owns what.
 */
export class SlotPool {
  /** How many frames there are. */
  readonly count: number
  readonly #bits: number
  readonly #mask: number
  readonly #generations: number
  /** By index: the slot number that was handed out last. */
  readonly #slots: Uint32Array
  readonly #states: Uint16Array
  /** The free frames' indices, last in first out: the frame that was used last is still in the cache. */
  readonly #free: Uint32Array
  #freeCount: number

  /** @param count frames, at most 2^18 */
  constructor(count: number) {
    this.count = count
    this.#bits = Math.max(1, 32 - Math.clz32(count - 1))
    this.#mask = 2 ** this.#bits - 1
    this.#generations = 2 ** (30 - this.#bits) - 1
    this.#slots = new Uint32Array(count)
    this.#states = new Uint16Array(count)
    this.#free = Uint32Array.from({ length: count }, (_, i) => count - 1 - i)
    this.#freeCount = count
    for (let i = 0; i < count; i++) this.#slots[i] = i
  }

  /** How many frames are free. */
  get freeCount(): number {
    return this.#freeCount
  }

  /** Takes a free frame for a holder; its index, or −1 when there is none. */
  take(holder: number): number {
    if (this.#freeCount === 0) return -1
    const index = this.#free[--this.#freeCount]
    this.#states[index] = holder
    return index
  }

  /** Gives a holder's frame to the caller, under a new number; −1 when the holder does not have it. */
  handOut(index: number, holder: number): number {
    if (this.#states[index] !== holder) return -1
    const generation = ((this.#slots[index] >>> this.#bits) + 1) & this.#generations
    const slot = (generation << this.#bits) | index
    this.#slots[index] = slot
    this.#states[index] = SlotState.caller
    return slot
  }

  /** The index of a slot that is the caller's, or throws ERR_IBVERBS_STALE_SLOT. */
  index(slot: number): number {
    if (typeof slot !== 'number') throw typeError('slot', 'a number', slot)
    const index = slot & this.#mask
    if (this.#slots[index] !== slot || this.#states[index] !== SlotState.caller) throw this.#refusal(slot)
    return index
  }

  /** Takes a frame back from the caller for a holder, after {@link index} has let its slot pass. */
  hold(index: number, holder: number): void {
    this.#states[index] = holder
  }

  /** Takes a slot back from the caller: its frame is free. Throws ERR_IBVERBS_STALE_SLOT. */
  release(slot: number): void {
    this.free(this.index(slot), SlotState.caller)
  }

  /** Frees a frame that `holder` has; false when it does not. */
  free(index: number, holder: number): boolean {
    if (this.#states[index] !== holder) return false
    this.#states[index] = SlotState.free
    this.#free[this.#freeCount++] = index
    return true
  }

  /** Frees everything that `holder` has. */
  freeAll(holder: number): void {
    for (let index = 0; index < this.count; index++) this.free(index, holder)
  }

  #refusal(slot: number): Error {
    const index = slot & this.#mask
    if (!Number.isInteger(slot) || slot < 0 || slot >= 2 ** 30 || index >= this.count) {
      return staleSlotError(`slot ${inspect(slot)} is not one of this pool's ${this.count} frames`)
    }
    const state = this.#states[index]
    if (this.#slots[index] !== slot || state === SlotState.free) {
      return staleSlotError(
        `slot ${slot} is stale: frame ${index} was released, forwarded or sent since it was handed out`,
      )
    }
    const where = state % 2 === 0 ? 'waits to receive' : 'was sent and not yet accepted'
    return staleSlotError(`slot ${slot} is the kernel's: frame ${index} ${where}`)
  }
}
