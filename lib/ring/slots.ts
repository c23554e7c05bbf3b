import { inspect } from 'node:util'
import { typeError } from '../argument.js'
import { busyError } from '../errors.js'
import { type Consumer, cells, type Producer } from './ring.js'
import { SlotMemory } from './slot-memory.js'

/** Owners of a frame that are neither a member nor a queue: see {@link SlotPool}. */
export const SlotState = { shared: 0, given: 1 } as const

/** Words of {@link SlotPool.state}: how many free frames this thread has, and above how many they go to other members. */
export const PoolState = { height: 0, limit: 1 } as const
const { height: heightAt, limit: limitAt } = PoolState

/** The largest slot number: 30 bits, a Smi on every platform. */
export const mostSlot = (1 << 30) - 1
// A constant local to this file: V8 folds it, but loads an exported one at each use.
const numberMask = mostSlot
/** The most free frames that a member of a shared pool keeps to itself for the next claim; it moves them in chains. */
const stackLimit = 64

/** The error for a slot that the caller does not hold, with code ERR_IBVERBS_STALE_SLOT. */
export function staleSlotError(message: string): Error {
  return Object.assign(new Error(message), { code: 'ERR_IBVERBS_STALE_SLOT' })
}

/**
 * The owner of each frame of an arena, and the numbers by which callers name them.
 *
 * A slot is a frame's index and a generation that changes each time the frame is handed out, in one number of 30 bits
 * (a Smi: passing one allocates nothing). A number that was kept too long names an older generation and is refused.
 *
 * A frame has one owner at a time, and only its owner writes the next one: plain loads and stores therefore suffice,
 * also where several threads share the pool. There are two exceptions, both off the hot path: the list of free frames
 * that no thread has yet, and a frame that one thread gives to another. There Atomics decide which thread gets it.
 *
 * A frame's word is its slot number with the owner in the index's place: one comparison shows whether a slot is current
 * and the caller's.
 *
 * Owners are numbers. A thread that uses the pool is a member and has two: n, for frames that its callers hold, and n +
 * 1, for frames on its stack of free ones. A queue has two as well: n, for frames that wait to receive, and n + 1, for
 * sent frames. None of this lies in the arena, so a write to a frame never changes an owner.
 */
export class SlotPool {
  /** How many frames there are. */
  declare readonly count: number
  /** The memory that other threads need to join. */
  declare readonly memory: SlotMemory
  /** This thread's number among the pool's members; it owns the frames that this thread's callers hold. */
  declare readonly member: number
  declare readonly indexMask: number
  /** By index, to the next power of two. */
  declare readonly words: Int32Array
  /** The free frames' indices, last in first out: the frame that was used last is still in the cache. */
  declare readonly stack: Int32Array
  /** {@link PoolState}, which hot code shares. */
  declare readonly state: Int32Array
  private whole = false
  declare private shared: boolean

  /** @param from the number of frames of a new pool, at most 2^18; or the memory of a pool that another thread shares */
  constructor(from: number | SlotMemory) {
    const memory = typeof from === 'number' ? SlotMemory.allocate(from) : from
    const { count } = memory
    this.count = count | 0
    this.memory = memory
    this.member = memory.attach(0) | 0
    this.indexMask = memory.indexMask | 0
    this.words = memory.words
    this.stack = cells(count)
    this.state = cells(2)
    this.shared = typeof from !== 'number'
    if (typeof from === 'number') {
      this.limit = count
      this.height = count
      for (let i = 0; i < count; i++) this.stack[i] = count - 1 - i
      this.words.fill(this.member + 1, 0, count)
    } else {
      this.limit = stackLimit
    }
  }

  /** How many frames are free: this thread's, and those that any member can take. */
  get freeCount(): number {
    return this.height + this.memory.freeCount
  }

  /** How many free frames this thread has. */
  get freeHere(): number {
    return this.height
  }

  private get height(): number {
    return this.state[heightAt]
  }

  private set height(count: number) {
    this.state[heightAt] = count
  }

  private get limit(): number {
    return this.state[limitAt]
  }

  private set limit(count: number) {
    this.state[limitAt] = count
  }

  /** From now on a queue lends the device neighbouring frames ({@link lendBuffers}): none may wander to other threads. */
  keepWhole(): void {
    if (this.shared) {
      throw busyError(
        'frames that threads share cannot be received into by whole buffers: give the queue its own pool',
      )
    }
    this.whole = true
  }

  /** Makes free frames available to other threads from now on. */
  share(): void {
    if (this.whole) {
      throw busyError(
        'a queue receives into whole buffers of these frames: share a pool that it does not use',
      )
    }
    this.shared = true
    this.limit = stackLimit
    this.spill()
  }

  /** Reserves the owner numbers of a new queue of this thread (see {@link SlotPool}). */
  attach(): number {
    return this.memory.attach(this.member)
  }

  /** Frees the frames of a closed queue, and its owner numbers. */
  detach(holder: number): void {
    this.freeAll(holder)
    this.freeAll(holder + 1)
    this.memory.detach(holder)
  }

  /** Frees every frame of a member whose thread has ended. */
  reclaim(member: number): void {
    for (const holder of this.memory.attachedBy(member)) this.detach(holder)
    this.detach(member)
  }

  /** Hands a holder's frame to the caller, under a new number; −1 when the holder does not own it. */
  handOut(index: number, holder: number): number {
    if (index >= this.count) return -1
    const word = this.words[index]
    return (word & this.indexMask) === holder ? this.number(index, word ^ holder) : -1
  }

  /** Writes and returns a frame's next number; `generation` is its word without the owner. */
  private number(index: number, generation: number): number {
    const next = (generation + this.indexMask + 1) & numberMask
    this.words[index] = next | this.member
    return next | index
  }

  /** The index in a slot's number, without a check of its owner. */
  indexOf(slot: number): number {
    return slot & this.indexMask
  }

  /** The index of a slot that is the caller's. Throws ERR_IBVERBS_STALE_SLOT. */
  index(slot: number): number {
    if (typeof slot !== 'number') this.refuse(slot)
    const index = slot & this.indexMask
    if ((this.words[index] ^ this.member ^ index) !== slot) this.refuse(slot)
    return index
  }

  /** Moves a frame from the caller to a holder, after {@link index} has checked its slot. */
  hold(index: number, holder: number): void {
    this.words[index] ^= this.member ^ holder
  }

  /** Takes a slot back from the caller: its frame is free. Throws ERR_IBVERBS_STALE_SLOT. */
  release(slot: number): void {
    this.push(this.index(slot), this.member)
  }

  /** Frees a frame that `holder` owns; false when it does not. */
  free(index: number, holder: number): boolean {
    if (index >= this.count || (this.words[index] & this.indexMask) !== holder) return false
    this.push(index, holder)
    return true
  }

  /** Frees every frame that `holder` owns. */
  freeAll(holder: number): void {
    for (let index = 0; index < this.count; index++) this.free(index, holder)
  }

  private push(index: number, owner: number): void {
    this.words[index] ^= owner ^ (this.member + 1)
    this.stack[this.height++] = index
    if (this.height > this.limit) this.spill()
  }

  /** Moves free frames into a fill ring, at most `most`; returns how many. */
  lend(ring: Pick<Producer, 'pushAddress'>, most: number, holder: number, shift: number): number {
    const { words, stack } = this
    const change = (this.member + 1) ^ holder
    let lent = 0
    do {
      const { height } = this
      const end = Math.max(0, height - (most - lent))
      for (let left = height - 1; left >= end; left--) {
        const index = stack[left]
        words[index] ^= change
        ring.pushAddress(index << shift)
      }
      lent += height - end
      this.height = end
    } while (lent < most && this.pull())
    return lent
  }

  /**
   * Moves free frames into a fill ring by whole buffers: `size` neighbours, of which the first one's number is a
   * multiple of `size`. A buffer is free when the last of its frames is. Looks at `frames` frames from `first` on.
   *
   * @param pinned the buffers seen of which a caller holds a frame are appended: each one's first frame
   * @returns how many buffers, at most `most`
   */
  lendBuffers(
    ring: Pick<Producer, 'pushAddress'>,
    most: number,
    size: number,
    holder: number,
    shift: number,
    first: number,
    frames: number,
    pinned: number[],
  ): number {
    const { words, indexMask, member } = this
    const free = member + 1
    const end = Math.min(first + frames, this.count - size + 1)
    let lent = 0
    for (let buffer = first; buffer < end; buffer += size) {
      let index = buffer
      while (index < buffer + size && (words[index] & indexMask) === free) index++
      if (index < buffer + size) {
        while (index < buffer + size && (words[index] & indexMask) !== member) index++
        if (index < buffer + size) pinned.push(buffer)
        continue
      }
      if (lent >= most) continue
      for (index = buffer; index < buffer + size; index++) words[index] ^= free ^ holder
      ring.pushAddress(buffer << shift)
      lent++
    }
    if (lent > 0) this.unstack()
    return lent
  }

  /** Takes frames off the stack that are not free any more: they lie anywhere on it. */
  private unstack(): void {
    const { words, stack, indexMask } = this
    const free = this.member + 1
    let height = 0
    for (let i = 0; i < this.height; i++) {
      if ((words[stack[i]] & indexMask) === free) stack[height++] = stack[i]
    }
    this.height = height
  }

  /** Whether a caller of this thread holds the frame. */
  isHeld(index: number): boolean {
    return (this.words[index] & this.indexMask) === this.member
  }

  /** Moves the free ones of `size` frames from `first` on to a holder, at most `most`, and appends their indices. */
  reserve(first: number, size: number, holder: number, most: number, reserved: number[]): void {
    const { words, indexMask } = this
    const free = this.member + 1
    let left = most
    for (let index = first; index < first + size && left > 0; index++) {
      if ((words[index] & indexMask) !== free) continue
      words[index] ^= free ^ holder
      reserved.push(index)
      left--
    }
    if (left < most) this.unstack()
  }

  /**
   * Frees the frames that the next `count` records of a completion ring name; returns how many the holder does not own.
   */
  recover(ring: Pick<Consumer, 'at' | 'address'>, count: number, holder: number, shift: number): number {
    const { words, stack, indexMask } = this
    const change = (this.member + 1) ^ holder
    let { height } = this
    let invalid = 0
    for (let i = 0; i < count; i++) {
      const index = ring.address(ring.at(i)) >>> shift
      // An invalid index reads 0, a word that no holder owns.
      const word = index <= indexMask ? words[index] : 0
      if ((word & indexMask) === holder) {
        words[index] = word ^ change
        stack[height] = index
        height = (height + 1) | 0
      } else {
        invalid++
      }
    }
    this.height = height
    this.spill()
    return invalid
  }

  /** Releases the caller's slot, for another member to {@link accept}. Throws ERR_IBVERBS_STALE_SLOT. */
  give(slot: number): void {
    const index = this.index(slot)
    Atomics.store(this.words, index, this.words[index] ^ this.member ^ SlotState.given)
  }

  /** Takes over a slot that a member gave away. Throws ERR_IBVERBS_STALE_SLOT when there is none to take. */
  accept(slot: number): void {
    if (typeof slot !== 'number') throw typeError('slot', 'a number', slot)
    const index = slot & this.indexMask
    const generation = slot ^ index
    const given = generation | SlotState.given
    const mine =
      (generation | index) === slot &&
      Atomics.compareExchange(this.words, index, given, generation | this.member) === given
    if (!mine) throw this.refusal(slot)
  }

  /** Gives free frames to the other members, as long as there are more than the limit. */
  spill(): void {
    while (this.height > this.limit) this.height -= this.memory.push(this.stack, this.height)
  }

  /** Takes a chain of free frames that no thread has; false when there are none. */
  pull(): boolean {
    this.height = this.memory.pop(this.stack, this.member + 1)
    return this.height > 0
  }

  /** Throws the error of a slot that is not the caller's. */
  refuse(slot: unknown): never {
    if (typeof slot !== 'number') throw typeError('slot', 'a number', slot)
    throw this.refusal(slot)
  }

  private refusal(slot: number): Error {
    const { indexMask } = this
    const index = slot & indexMask
    if (!Number.isInteger(slot) || slot < 0 || slot > mostSlot || index >= this.count) {
      return staleSlotError(`slot ${inspect(slot)} is not one of this pool's ${this.count} frames`)
    }
    const word = this.words[index]
    const owner = word & indexMask
    const holder = owner & ~1
    const queue = this.memory.member(holder) !== 0
    const free = owner === SlotState.shared || (!queue && owner !== holder && owner !== SlotState.given)
    if ((word & ~indexMask) !== (slot & ~indexMask) || free) {
      return staleSlotError(
        `slot ${slot} is stale: frame ${index} was released, forwarded or sent since it was handed out`,
      )
    }
    if (owner === SlotState.given) {
      return staleSlotError(`slot ${slot} was given away: frames.take() makes it this thread's`)
    }
    if (owner === this.member) return staleSlotError(`slot ${slot} is this thread's already: nobody gave it`)
    if (!queue) return staleSlotError(`slot ${slot} is another thread's, which has not given it away`)
    const where = owner === holder ? 'waits to receive' : 'was sent and not yet accepted'
    return staleSlotError(`slot ${slot} is the kernel's: frame ${index} ${where}`)
  }
}
