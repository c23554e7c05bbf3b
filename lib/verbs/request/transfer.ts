import { type Names, object, typeError, uint32 } from '../../argument.js'
import type { RemoteMemory } from '../remote-memory.js'
import { Elements, type RequestMemory, requestMemoryNames } from './elements.js'
import type { Posting } from './posting.js'
import { Send, WorkRequestOpcode } from './records.js'
import { Remote } from './remote.js'
import { checkCookie, checkStretch, copyElements, type RequestRing, rest, writeElement } from './ring.js'
import { type SendFlags, sendFlags } from './send-flags.js'

/** Options of {@link QueuePair.prepareWrite} and {@link QueuePair.prepareRead}. */
export interface TransferOptions extends RequestMemory, Omit<SendFlags, 'checksum'> {
  /** The peer's region: its {@link MemoryRegion.remote}. */
  remote: RemoteMemory
  /** RDMA write with immediate data (u32), which consumes a receive of the peer. Default: none. */
  immediate?: number
}
const transferOptionNames = {
  ...requestMemoryNames,
  signaled: true,
  fence: true,
  solicited: true,
  inline: true,
  remote: true,
  immediate: true,
} as const satisfies Names<TransferOptions>

/** A prepared RDMA write or read. */
export class PreparedTransfer {
  readonly #ring: RequestRing
  readonly #elements: Elements
  readonly #longest: number
  readonly #remote: Remote
  readonly #head: number
  readonly #fixedLength: number
  #immediate = 0

  /** @internal */
  static of(posting: Posting, options: TransferOptions, kind: 'write' | 'read'): PreparedTransfer {
    return new PreparedTransfer(posting, options, kind)
  }

  private constructor(posting: Posting, options: TransferOptions, kind: 'write' | 'read') {
    object('options', options, 'an object', transferOptionNames)
    this.#ring = posting.ring
    this.#elements = new Elements('options', options, posting, kind === 'read' ? 'a read' : undefined)
    this.#longest = posting.longest
    this.#remote = new Remote('options.remote', options.remote)
    let opcode: number
    if (kind === 'read') {
      if (options.immediate !== undefined)
        throw typeError('options.immediate', 'left out: a read has none', options.immediate)
      if (options.inline)
        throw typeError('options.inline', 'left out: a read has no bytes to send', options.inline)
      opcode = WorkRequestOpcode.RDMA_READ
    } else if (options.immediate === undefined) {
      opcode = WorkRequestOpcode.RDMA_WRITE
    } else {
      opcode = WorkRequestOpcode.RDMA_WRITE_WITH_IMM
      this.#immediate = uint32('options.immediate', options.immediate)
    }
    this.#head = opcode | (sendFlags(options) << 8) | (this.#elements.count << 16)
    this.#fixedLength = this.#elements.total
  }

  /** Immediate data of the next posts of a write: a u32. */
  set immediate(value: number) {
    this.#immediate = uint32('immediate', value)
  }
  get immediate(): number {
    return this.#immediate
  }

  /**
   * Writes the request into the ring; nothing is sent before {@link QueuePair.submit}.
   *
   * @param cookie u32 that the completion will carry
   * @param offset bytes from the start of the local region
   * @param length in bytes; to the local region's end by default; at most {@link QueuePair.longestMessage}
   * @param remoteOffset bytes from the start of the peer's region
   * @returns 0, or −1 when the queue is full: poll, then try again
   */
  post(
    cookie: number,
    offset = 0,
    length: number = rest(this.#elements.size, offset),
    remoteOffset = 0,
  ): number {
    checkCookie(cookie)
    checkStretch(offset, length, this.#elements.size, this.#longest)
    this.#remote.check(remoteOffset, length + this.#fixedLength)
    const ring = this.#ring
    const at = ring.claim()
    if (at < 0) return -1
    const words = ring.words
    words[at + Send.head] = this.#head
    words[at + Send.cookie] = cookie
    words[at + Send.immediate] = this.#immediate
    this.#remote.write(words, at, remoteOffset)
    if (this.#elements.memory) writeElement(words, at + Send.elements, this.#elements.region, offset, length)
    else copyElements(words, at + Send.elements, this.#elements.fixed)
    return 0
  }
}
