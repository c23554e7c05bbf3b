/** Free frames change threads in chains of this length: the whole chain pays the cost of the Atomics once. */
const chainLength = 32
/** The most threads and queues of a pool at a time. */
const places = 2048
/** The least number of bits in a slot's number for its frame's index: an owner's number takes their place (SlotPool). */
const leastIndexBits = Math.log2(2 * places)
/** Smaller owner numbers are no member's: see SlotState. */
const firstOwner = 2
/**
 * Words: the first chain (its first frame's index + 1, and a tag), how many frames the chains hold, how many the pool
 * has.
 */
const Header = { head: 0, free: 1, count: 2, words: 16 } as const

/**
 * The state that the threads of a frame pool share: each frame's number and owner, the list of owners, and the free
 * frames that no thread has on its own stack.
 *
 * These lie in chains, on a stack whose top changes by compare-and-exchange. The top carries a tag of at least 13 bits
 * that counts the changes: a thread that was suspended between its load and its exchange cannot mistake a newer top for
 * the one it loaded. A thread that is terminated in between loses at most one chain and blocks no other thread.
 */
export class SlotMemory {
  readonly buffer: SharedArrayBuffer
  readonly count: number
  /** The bits of a slot's number that hold its frame's index. */
  readonly indexMask: number
  /** By index: the slot number handed out last, with the owner in the index's place. */
  readonly words: Int32Array
  readonly #header: Int32Array
  /** By number of a member or queue, halved: 0 unused, 1 a member, otherwise the member that has the queue. */
  readonly #attached: Int32Array
  /** By index: the next frame of the chain + 1; 0 at its end. */
  readonly #next: Uint32Array
  /** By index of a chain's first frame: the next chain, as {@link Header.head}. */
  readonly #chain: Int32Array
  /** The bits of the chains' top that name a frame, + 1. */
  readonly #topMask: number

  /** The number of frames that a buffer was {@link allocate}d for; 0 for any other buffer. */
  static countOf(buffer: SharedArrayBuffer): number {
    if (buffer.byteLength < Header.words * 4 || buffer.byteLength % 4 !== 0) return 0
    const count = new Uint32Array(buffer)[Header.count]
    return buffer.byteLength === byteLength(count) ? count : 0
  }

  static allocate(count: number): SlotMemory {
    const buffer = new SharedArrayBuffer(byteLength(count))
    new Int32Array(buffer)[Header.count] = count
    return new SlotMemory(buffer)
  }

  /** @param buffer of {@link allocate}, in this thread or another */
  constructor(buffer: SharedArrayBuffer) {
    let at = 0
    const take = (words: number): [SharedArrayBuffer, number, number] => {
      const from = at
      at += words * 4
      return [buffer, from, words]
    }
    this.buffer = buffer
    this.#header = new Int32Array(...take(Header.words))
    const count = this.#header[Header.count]
    this.count = count
    this.indexMask = indexMaskOf(count)
    this.#topMask = 2 ** Math.ceil(Math.log2(count + 1)) - 1
    this.#attached = new Int32Array(...take(places))
    this.words = new Int32Array(...take(this.indexMask + 1))
    this.#next = new Uint32Array(...take(count))
    this.#chain = new Int32Array(...take(count))
  }

  /** Frames in the chains. */
  get freeCount(): number {
    return Atomics.load(this.#header, Header.free)
  }

  /** Reserves two owner numbers, n and n + 1, for a queue of `member`, or (0) for a new member. */
  attach(member: number): number {
    for (let place = firstOwner / 2; place < places; place++) {
      if (Atomics.compareExchange(this.#attached, place, 0, member || 1) === 0) return place * 2
    }
    throw new Error(`a pool of frames has at most ${places - 1} threads and queues at once`)
  }

  detach(owner: number): void {
    Atomics.store(this.#attached, owner / 2, 0)
  }

  /** The member that has the queue of an owner number; 0 for a member itself and for an unused number. */
  member(owner: number): number {
    const member = Atomics.load(this.#attached, owner / 2)
    return member === 1 ? 0 : member
  }

  /** Whether a number is a member's. */
  isMember(owner: number): boolean {
    if (!Number.isInteger(owner / 2) || owner < firstOwner || owner >= 2 * places) return false
    return Atomics.load(this.#attached, owner / 2) === 1
  }

  /** A member's queues. */
  attachedBy(member: number): number[] {
    return Array.from(this.#attached.keys(), (place) => place * 2).filter(
      (owner) => owner !== 0 && this.member(owner) === member,
    )
  }

  /** Moves a chain of frames from the top of a stack of `count` to the shared chains; returns how many. */
  push(stack: Int32Array, count: number): number {
    const length = Math.min(chainLength, count)
    let next = 0
    for (let i = count - length; i < count; i++) {
      const index = stack[i]
      this.#next[index] = next
      this.words[index] &= ~this.indexMask
      next = index + 1
    }
    const mask = this.#topMask
    for (;;) {
      const head = Atomics.load(this.#header, Header.head)
      Atomics.store(this.#chain, next - 1, head & mask)
      const top = ((head & ~mask) + mask + 1) | next
      if (Atomics.compareExchange(this.#header, Header.head, head, top) === head) break
    }
    Atomics.add(this.#header, Header.free, length)
    return length
  }

  /**
   * Moves a chain of frames onto an empty stack and makes `owner` their owner; returns how many, 0 when there are none.
   */
  pop(stack: Int32Array, owner: number): number {
    const mask = this.#topMask
    let next: number
    for (;;) {
      const head = Atomics.load(this.#header, Header.head)
      next = head & mask
      if (next === 0 || next > this.count) return 0
      const top = ((head & ~mask) + mask + 1) | Atomics.load(this.#chain, next - 1)
      if (Atomics.compareExchange(this.#header, Header.head, head, top) === head) break
    }
    let length = 0
    while (next !== 0 && length < chainLength) {
      const index = next - 1
      stack[length++] = index
      this.words[index] |= owner
      next = this.#next[index]
    }
    Atomics.sub(this.#header, Header.free, length)
    return length
  }
}

function byteLength(count: number): number {
  return (Header.words + places + indexMaskOf(count) + 1 + 2 * count) * 4
}

function indexMaskOf(count: number): number {
  return 2 ** Math.max(leastIndexBits, Math.ceil(Math.log2(count))) - 1
}
