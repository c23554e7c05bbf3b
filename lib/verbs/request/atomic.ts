import { type Names, object, oneOf, rangeError, uint32 } from '../../argument.js'
import type { RemoteMemory } from '../remote-memory.js'
import { Elements, type RequestMemory, requestMemoryNames } from './elements.js'
import type { Posting } from './posting.js'
import { Send, WorkRequestOpcode } from './records.js'
import { Remote } from './remote.js'
import {
  checkCookie,
  checkStretch,
  copyElements,
  mostOfElement,
  type RequestRing,
  writeElement,
} from './ring.js'
import { type SendFlags, sendFlags } from './send-flags.js'

/** Options of {@link QueuePair.prepareCompareAndSwap} and {@link QueuePair.prepareFetchAndAdd}. */
export interface AtomicOptions extends RequestMemory, Omit<SendFlags, 'inline' | 'checksum'> {
  /** The peer's region: its {@link MemoryRegion.remote}. */
  remote: RemoteMemory
}
const atomicOptionNames = {
  ...requestMemoryNames,
  signaled: true,
  fence: true,
  solicited: true,
  remote: true,
} as const satisfies Names<AtomicOptions>

/** A prepared atomic on 8 aligned bytes of the peer: the old value goes into the local region, in host order. */
export class PreparedAtomic {
  readonly #ring: RequestRing
  readonly #elements: Elements
  readonly #remote: Remote
  readonly #head: number

  /** @internal */
  static of(
    posting: Posting,
    options: AtomicOptions,
    kind: 'compare-and-swap' | 'fetch-and-add',
  ): PreparedAtomic {
    return new PreparedAtomic(posting, options, kind)
  }

  private constructor(posting: Posting, options: AtomicOptions, kind: 'compare-and-swap' | 'fetch-and-add') {
    oneOf('kind', kind, ['compare-and-swap', 'fetch-and-add'])
    object('options', options, 'an object', atomicOptionNames)
    this.#ring = posting.ring
    this.#elements = new Elements('options', options, posting, 'an atomic')
    this.#remote = new Remote('options.remote', options.remote)
    const opcode =
      kind === 'compare-and-swap'
        ? WorkRequestOpcode.ATOMIC_CMP_AND_SWP
        : WorkRequestOpcode.ATOMIC_FETCH_AND_ADD
    this.#head = opcode | (sendFlags(options) << 8) | (this.#elements.count << 16)
  }

  /**
   * Writes the request into the ring; nothing is sent before {@link QueuePair.submit}. A 64-bit value is two u32, the
   * low one first.
   *
   * @param cookie u32 that the completion will carry
   * @param offset bytes from the start of the local region: the 8 bytes there receive the old value
   * @param remoteOffset bytes from the start of the peer's region; the address must be a multiple of 8
   * @param low low half of the value to compare with, or to add
   * @param high high half of it
   * @param swapLow low half of the value to store (compare-and-swap)
   * @param swapHigh of the same
   * @returns 0, or −1 when the queue is full: poll, then try again
   */
  post(
    cookie: number,
    offset: number,
    remoteOffset: number,
    low: number,
    high: number,
    swapLow = 0,
    swapHigh = 0,
  ): number {
    checkCookie(cookie)
    if (this.#elements.memory) checkStretch(offset, 8, this.#elements.size, mostOfElement)
    this.#remote.check(remoteOffset, 8)
    if ((this.#remote.low + remoteOffset) % 8 !== 0) {
      throw rangeError('remoteOffset', 'such that the address of an atomic is a multiple of 8', remoteOffset)
    }
    uint32('low', low)
    uint32('high', high)
    uint32('swapLow', swapLow)
    uint32('swapHigh', swapHigh)
    const ring = this.#ring
    const at = ring.claim()
    if (at < 0) return -1
    const words = ring.words
    words[at + Send.head] = this.#head
    words[at + Send.cookie] = cookie
    this.#remote.write(words, at, remoteOffset)
    words[at + Send.compareLow] = low
    words[at + Send.compareHigh] = high
    words[at + Send.swapLow] = swapLow
    words[at + Send.swapHigh] = swapHigh
    if (this.#elements.memory) writeElement(words, at + Send.elements, this.#elements.region, offset, 8)
    else copyElements(words, at + Send.elements, this.#elements.fixed)
    return 0
  }
}
