import { object } from '../../argument.js'
import { Elements, type RequestMemory, requestMemoryNames } from './elements.js'
import type { Posting } from './posting.js'
import { Receive } from './records.js'
import {
  checkCookie,
  checkStretch,
  copyElements,
  mostOfElement,
  type RequestRing,
  rest,
  writeElement,
} from './ring.js'

/** A prepared receive. */
export class PreparedReceive {
  readonly #ring: RequestRing
  readonly #elements: Elements

  /** @internal */
  static of(posting: Posting, options: RequestMemory): PreparedReceive {
    return new PreparedReceive(posting, options)
  }

  private constructor(posting: Posting, options: RequestMemory) {
    object('options', options, 'an object', requestMemoryNames)
    this.#ring = posting.ring
    this.#elements = new Elements('options', options, posting, 'a receive')
  }

  /**
   * Writes the request into the ring; {@link QueuePair.submit} hands it to the device. A UD receive needs 40 bytes more
   * than the message, for the GRH in front of it.
   *
   * @param cookie u32 that the completion will carry
   * @param offset bytes from the start of the region
   * @param length in bytes; to the region's end by default; it may exceed the longest message
   * @returns 0, or −1 when the queue is full
   */
  post(cookie: number, offset = 0, length: number = rest(this.#elements.size, offset)): number {
    checkCookie(cookie)
    checkStretch(offset, length, this.#elements.size, mostOfElement)
    const ring = this.#ring
    const at = ring.claim()
    if (at < 0) return -1
    const words = ring.words
    words[at + Receive.head] = this.#elements.count
    words[at + Receive.cookie] = cookie
    if (this.#elements.memory)
      writeElement(words, at + Receive.elements, this.#elements.region, offset, length)
    else copyElements(words, at + Receive.elements, this.#elements.fixed)
    return 0
  }
}
