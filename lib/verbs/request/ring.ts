import { rangeError, typeError } from '../../argument.js'
import { directError } from '../../errors.js'
import { LocalProducer } from '../../ring/local.js'
import { allocateRing } from '../../ring/ring.js'
import { Element, elementWords } from './records.js'

/**
 * One of a queue pair's two rings: TypeScript writes records, the binding takes them at submit. Requests that the
 * device has and requests not yet submitted share the queue's depth, which the ring's capacity may exceed, so that a
 * post to a full queue fails at once.
 */
export class RequestRing extends LocalProducer {
  declare private depth: number
  declare private readonly control: Uint32Array
  declare private readonly accepted: number
  declare private handedOver: boolean

  /**
   * @param depth requests of the queue
   * @param accepted index of the control word in which the binding counts the requests that the device has
   */
  constructor(depth: number, recordWords: number, control: Uint32Array, accepted: number) {
    super(allocateRing(depth, recordWords), recordWords)
    this.depth = depth
    this.control = control
    this.accepted = accepted
    this.handedOver = false
  }

  /** How many more requests the queue can take. */
  get free(): number {
    return this.depth - this.outstanding() - this.control[this.accepted]
  }

  /** Claims the next record: the index of its first word, or −1 if the queue is full. */
  claim(): number {
    return this.free > 0 ? this.push() : this.#none()
  }

  /** From here on nothing can be posted: the device's own ring is somebody else's. */
  handOver(): void {
    this.handedOver = true
    this.depth = 0
  }

  #none(): -1 {
    if (this.handedOver) throw directError('queue pair')
    return -1
  }
}

/** Throws if the cookie is not a u32. */
export function checkCookie(cookie: number): void {
  // The type first: the shift throws for a BigInt or a Symbol.
  if (typeof cookie !== 'number') throw typeError('cookie', 'a number', cookie)
  if (cookie >>> 0 !== cookie) {
    throw rangeError('cookie', 'an integer from 0 to 4294967295', cookie)
  }
}

/** The longest element that its length can state: 32 bits (struct ibv_sge). */
export const mostOfElement = 0xffffffff

/**
 * Throws if a range does not lie within `size` bytes, or is longer than `most`: the queue pair's longest message, or
 * the longest element of a receive. The binding checks again.
 */
export function checkStretch(offset: number, length: number, size: number, most: number, within = ''): void {
  if (Number.isSafeInteger(offset) && offset >= 0 && offset <= size) {
    if (Number.isSafeInteger(length) && length >= 0 && length <= size - offset && length <= most) return
    if (typeof length !== 'number') throw typeError(`${within}length`, 'a number', length)
    const why =
      most >= size - offset ? '' : most === mostOfElement ? ', all that one element takes' : longestWords
    throw rangeError(`${within}length`, `an integer from 0 to ${Math.min(size - offset, most)}${why}`, length)
  }
  if (typeof offset !== 'number') throw typeError(`${within}offset`, 'a number', offset)
  throw rangeError(`${within}offset`, `an integer from 0 to ${size}`, offset)
}

/** Why a length is too long. */
export const longestWords = ", the queue pair's longest message"

/** How many of `size` bytes follow `offset`; 0 for an offset that {@link checkStretch} refuses. */
export function rest(size: number, offset: number): number {
  return typeof offset === 'number' ? size - offset : 0
}

/** Writes a scatter/gather element. */
export function writeElement(
  words: Uint32Array,
  at: number,
  region: number,
  offset: number,
  length: number,
): void {
  words[at + Element.region] = region
  words[at + Element.offsetLow] = offset >>> 0
  words[at + Element.offsetHigh] = (offset / 0x100000000) >>> 0
  words[at + Element.length] = length
}

/** Copies prepared elements into a record. */
export function copyElements(words: Uint32Array, at: number, elements: Uint32Array): void {
  for (let i = 0; i < elements.length; i++) words[at + i] = elements[i]
}

export { elementWords }
