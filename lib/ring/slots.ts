import { inspect } from 'node:util'
import { typeError } from '../argument.js'
import { AddressRecord, type Consumer, type Producer } from './ring.js'
import { SlotMemory } from './slot-memory.js'

/** Whose a frame is, where it is not a member's or a queue's: see {@link SlotPool}. */
export const SlotState = { shared: 0, given: 1 } as const

const { shared: sharedState, given: givenState } = SlotState
/** A frame's word: its owner, and its generation above that. */
const ownerBits = 12
const ownerMask = (1 << ownerBits) - 1
/** Slot numbers have 30 bits: a Smi on every platform. */
const slotBits = 30
// Of this file's own: V8 folds it, but looks into an imported object each time.
const { address: addressWord, status: statusWord } = AddressRecord
/** Frames that a member of a shared pool keeps to itself for the next claim, at most; it moves them in chains. */
const stackLimit = 64

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
 * (a Smi: passing one allocates nothing). A number that was kept too long names an older generation and is refused.
 *
 * A frame has one owner at a time, and only its owner writes down who has it next: so plain loads and stores do, also
 * where several threads share the pool. The exceptions, both away from the hot path, are the list of free frames that
 * no thread has yet and a frame that one thread gives to another: there Atomics decide who gets it.
 *
 * Owners are numbers. A thread that uses the pool is a member and has two: n, frames that its callers have, and n + 1,
 * frames on its stack of free ones. So has a queue: n, frames that wait to receive, and n + 1, frames that were sent.
 * Nothing of this can be reached through the arena, so nothing that is written into frames changes who owns what.
 */
export class SlotPool {
  /** How many frames there are. */
  readonly count: number
  /** What other threads need to join. */
  readonly memory: SlotMemory
  /** This thread's number among the pool's members; its callers' frames have it as their owner. */
  readonly member: number
  /** How many bits of a slot's number are its frame's index, and a mask of them. */
  readonly #indexBits: number
  readonly #indexMask: number
  readonly #slotMask: number
  readonly #generationMask: number
  /** By index: the generation that was handed out last, and the owner. */
  readonly #words: Int32Array
  /** The free frames' indices, last in first out: the frame that was used last is still in the cache. */
  readonly #free: Uint32Array
  #freeCount = 0
  /** Past so many, free frames go to the other members. */
  #limit: number

  /** @param from a number of frames, at most 2^18, for a new pool; or the memory of one that another thread shares */
  constructor(from: number | SlotMemory) {
    const memory = typeof from === 'number' ? SlotMemory.allocate(from) : from
    const { count } = memory
    const indexBits = Math.max(1, 32 - Math.clz32(count - 1))
    const generationBits = Math.min(32 - ownerBits, slotBits - indexBits)
    this.count = count
    this.memory = memory
    this.#indexBits = indexBits
    this.#indexMask = (1 << indexBits) - 1
    this.#slotMask = (1 << (indexBits + generationBits)) - 1
    this.#generationMask = ((1 << generationBits) - 1) << ownerBits
    this.#words = memory.words
    this.#free = new Uint32Array(count)
    this.member = memory.attach(0)
    if (typeof from === 'number') {
      this.#limit = count
      this.#freeCount = count
      for (let i = 0; i < count; i++) this.#free[i] = count - 1 - i
      this.#words.fill(this.member + 1)
    } else {
      this.#limit = stackLimit
    }
  }

  /** How many frames are free: this thread's, and those that any member can take. */
  get freeCount(): number {
    return this.#freeCount + this.memory.freeCount
  }

  /** Lets other threads have free frames from now on. */
  share(): void {
    this.#limit = stackLimit
    while (this.#freeCount > stackLimit) this.#spill()
  }

  /** Numbers for a new queue of this thread's (see {@link SlotPool}). */
  attach(): number {
    return this.memory.attach(this.member)
  }

  /** A queue is gone: what it held is free again. */
  detach(holder: number): void {
    this.freeAll(holder)
    this.freeAll(holder + 1)
    this.memory.detach(holder)
  }

  /** Frees everything that a member had whose thread is gone. */
  reclaim(member: number): void {
    for (const holder of this.memory.attachedBy(member)) this.detach(holder)
    this.detach(member)
  }

  /** Takes a free frame for a holder; its index, or −1 when there is none. */
  take(holder: number): number {
    if (this.#freeCount === 0 && !this.#pull()) return -1
    const index = this.#free[--this.#freeCount]
    this.hold(index, holder)
    return index
  }

  /** Takes a free frame for the caller; its slot, or −1 when there is none. */
  claim(): number {
    if (this.#freeCount === 0 && !this.#pull()) return -1
    const index = this.#free[--this.#freeCount]
    return this.#number(index, this.#words[index])
  }

  /** Gives a holder's frame to the caller, under a new number; −1 when the holder does not have it. */
  handOut(index: number, holder: number): number {
    if (index >= this.count) return -1
    const word = this.#words[index]
    return (word & ownerMask) === holder ? this.#number(index, word) : -1
  }

  /** The index in a slot's number, whosever it is. */
  indexOf(slot: number): number {
    return slot & this.#indexMask
  }

  #number(index: number, word: number): number {
    const generation = (word + ownerMask + 1) & this.#generationMask
    this.#words[index] = generation | this.member
    return ((generation >>> ownerBits) << this.#indexBits) | index
  }

  /** The index of a slot that is the caller's, or throws ERR_IBVERBS_STALE_SLOT. */
  index(slot: number): number {
    const index = slot & this.#indexMask
    if (
      typeof slot !== 'number' ||
      (slot & this.#slotMask) !== slot ||
      index >= this.count ||
      this.#words[index] !== (((slot >>> this.#indexBits) << ownerBits) | this.member)
    ) {
      throw this.#refusal(slot)
    }
    return index
  }

  /** Takes a frame back from the caller for a holder, after {@link index} has let its slot pass. */
  hold(index: number, holder: number): void {
    this.#words[index] = (this.#words[index] & ~ownerMask) | holder
  }

  /** Takes a slot back from the caller: its frame is free. Throws ERR_IBVERBS_STALE_SLOT. */
  release(slot: number): void {
    this.#push(this.index(slot))
  }

  /** Frees a frame that `holder` has; false when it does not. */
  free(index: number, holder: number): boolean {
    if (index >= this.count || (this.#words[index] & ownerMask) !== holder) return false
    this.#push(index)
    return true
  }

  /** Frees everything that `holder` has. */
  freeAll(holder: number): void {
    for (let index = 0; index < this.count; index++) this.free(index, holder)
  }

  /** Lends free frames to a fill ring, at most `most`; returns how many. */
  lend(ring: Producer, most: number, holder: number, shift: number): number {
    const { words } = ring
    const free = this.#free
    const frames = this.#words
    let lent = 0
    do {
      let count = this.#freeCount
      const end = Math.max(0, count - (most - lent))
      lent += count - end
      while (count > end) {
        const index = free[--count]
        frames[index] = (frames[index] & ~ownerMask) | holder
        const at = ring.push()
        words[at + addressWord] = index << shift
        words[at + statusWord] = 0
      }
      this.#freeCount = end
    } while (lent < most && this.#pull())
    return lent
  }

  /** Frees the frames that the next `count` records of a completion ring name; returns how many are the holder's not. */
  recover(ring: Consumer, count: number, holder: number, shift: number): number {
    const { words } = ring
    const free = this.#free
    const frames = this.#words
    const owner = this.member + 1
    let top = this.#freeCount
    let invalid = 0
    for (let i = 0; i < count; i++) {
      const index = words[ring.at(i) + addressWord] >>> shift
      const word = index < frames.length ? frames[index] : 0
      if ((word & ownerMask) === holder) {
        frames[index] = (word & ~ownerMask) | owner
        free[top++] = index
      } else {
        invalid++
      }
    }
    this.#freeCount = top
    while (this.#freeCount > this.#limit) this.#spill()
    return invalid
  }

  /** Lets go of the caller's slot, for another member to {@link accept}. Throws ERR_IBVERBS_STALE_SLOT. */
  give(slot: number): void {
    const index = this.index(slot)
    Atomics.store(this.#words, index, (this.#words[index] & ~ownerMask) | givenState)
  }

  /** Makes a slot that a member gave away the caller's. Throws ERR_IBVERBS_STALE_SLOT when it is not to be had. */
  accept(slot: number): void {
    const index = slot & this.#indexMask
    const generation = (slot >>> this.#indexBits) << ownerBits
    const given = generation | givenState
    const mine =
      typeof slot === 'number' &&
      (slot & this.#slotMask) === slot &&
      index < this.count &&
      Atomics.compareExchange(this.#words, index, given, generation | this.member) === given
    if (!mine) throw this.#refusal(slot)
  }

  #push(index: number): void {
    this.hold(index, this.member + 1)
    this.#free[this.#freeCount++] = index
    if (this.#freeCount > this.#limit) this.#spill()
  }

  #spill(): void {
    this.#freeCount -= this.memory.push(this.#free, this.#freeCount)
  }

  #pull(): boolean {
    this.#freeCount = this.memory.pop(this.#free, this.member + 1)
    return this.#freeCount > 0
  }

  #refusal(slot: number): Error {
    if (typeof slot !== 'number') return typeError('slot', 'a number', slot)
    const index = slot & this.#indexMask
    if (!Number.isInteger(slot) || slot < 0 || slot >= 2 ** slotBits || index >= this.count) {
      return staleSlotError(`slot ${inspect(slot)} is not one of this pool's ${this.count} frames`)
    }
    const word = this.#words[index]
    const owner = word & ownerMask
    const holder = owner & ~1
    const queue = this.memory.member(holder) !== 0
    const free = owner === sharedState || (!queue && owner !== holder && owner !== givenState)
    if (word >>> ownerBits !== slot >>> this.#indexBits || free) {
      return staleSlotError(
        `slot ${slot} is stale: frame ${index} was released, forwarded or sent since it was handed out`,
      )
    }
    if (owner === givenState) {
      return staleSlotError(`slot ${slot} was given away: frames.take() makes it this thread's`)
    }
    if (owner === this.member) return staleSlotError(`slot ${slot} is this thread's already: nobody gave it`)
    if (!queue) return staleSlotError(`slot ${slot} is another thread's, which has not given it away`)
    const where = owner === holder ? 'waits to receive' : 'was sent and not yet accepted'
    return staleSlotError(`slot ${slot} is the kernel's: frame ${index} ${where}`)
  }
}
