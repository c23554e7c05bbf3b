import { integer, type Names, object, typeError, uint32 } from '../../argument.js'
import { idOf } from '../../handle.js'
import { AddressHandle } from '../address/address-handle.js'
import { Elements, type RequestMemory, requestMemoryNames } from './elements.js'
import type { Posting } from './posting.js'
import { Send, WorkRequestOpcode } from './records.js'
import { checkCookie, checkStretch, copyElements, type RequestRing, rest, writeElement } from './ring.js'
import { type SendFlags, sendFlags } from './send-flags.js'

/** Options of {@link QueuePair.prepareSend}. */
export interface SendOptions extends RequestMemory, SendFlags {
  /** Immediate data (u32) that the receiver's completion carries; can be changed later. Default: none. */
  immediate?: number
  /** UD: the destination. Left out for other types. */
  addressHandle?: AddressHandle
  /** UD: number of the receiving queue pair. Left out for other types. */
  remoteQueuePair?: number
  /** UD: queue key of the receiving queue pair. Left out for other types. */
  remoteQueueKey?: number
}
const sendOptionNames = {
  ...requestMemoryNames,
  signaled: true,
  fence: true,
  solicited: true,
  inline: true,
  checksum: true,
  immediate: true,
  addressHandle: true,
  remoteQueuePair: true,
  remoteQueueKey: true,
} as const satisfies Names<SendOptions>

/** A prepared send. */
export class PreparedSend {
  readonly #ring: RequestRing
  readonly #elements: Elements
  readonly #longest: number
  readonly #head: number
  #immediate = 0
  #addressHandle = 0
  #destination: AddressHandle | undefined
  #remoteQueuePair = 0
  #remoteQueueKey = 0
  readonly #datagram: boolean
  readonly #domain: object

  /** @internal */
  static of(posting: Posting, options: SendOptions): PreparedSend {
    return new PreparedSend(posting, options)
  }

  private constructor(posting: Posting, options: SendOptions) {
    object('options', options, 'an object', sendOptionNames)
    this.#ring = posting.ring
    this.#elements = new Elements('options', options, posting)
    this.#longest = posting.longest
    const raw = posting.type === 'RAW_PACKET'
    if (raw && options.immediate !== undefined) {
      throw typeError('options.immediate', 'left out: a raw packet has none', options.immediate)
    }
    if (!raw && options.checksum) {
      throw typeError('options.checksum', 'left out: only RAW_PACKET queue pairs have it', options.checksum)
    }
    const opcode = options.immediate === undefined ? WorkRequestOpcode.SEND : WorkRequestOpcode.SEND_WITH_IMM
    this.#head = opcode | (sendFlags(options) << 8) | (this.#elements.count << 16)
    if (options.immediate !== undefined) this.#immediate = uint32('options.immediate', options.immediate)
    this.#datagram = posting.type === 'UD'
    for (const name of ['addressHandle', 'remoteQueuePair', 'remoteQueueKey'] as const) {
      if (!this.#datagram && options[name] !== undefined) {
        throw typeError(
          `options.${name}`,
          `left out: a queue pair of type ${posting.type} has one peer, or none`,
          options[name],
        )
      }
    }
    this.#domain = posting.domain
    if (this.#datagram) {
      const { addressHandle, remoteQueuePair, remoteQueueKey } = options
      this.#aim(
        addressHandle as AddressHandle,
        remoteQueuePair as number,
        remoteQueueKey as number,
        'options.',
      )
    }
  }

  /** Immediate data of the next posts: a u32. */
  set immediate(value: number) {
    this.#immediate = uint32('immediate', value)
  }
  get immediate(): number {
    return this.#immediate
  }

  /** UD: sets the destination of the next posts. */
  to(addressHandle: AddressHandle, remoteQueuePair: number, remoteQueueKey: number): this {
    if (!this.#datagram) throw typeError('addressHandle', 'for UD queue pairs only', addressHandle)
    this.#aim(addressHandle, remoteQueuePair, remoteQueueKey)
    return this
  }

  /** @param within what the names of the arguments begin with, for errors */
  #aim(addressHandle: AddressHandle, remoteQueuePair: number, remoteQueueKey: number, within = ''): void {
    const handle = idOf(`${within}addressHandle`, addressHandle, AddressHandle)
    if (addressHandle.domain !== this.#domain) {
      throw typeError(
        `${within}addressHandle`,
        "an address handle of the queue pair's own protection domain",
        addressHandle,
      )
    }
    integer(`${within}remoteQueuePair`, remoteQueuePair, 0, 0xffffff)
    uint32(`${within}remoteQueueKey`, remoteQueueKey)
    this.#addressHandle = handle
    this.#remoteQueuePair = remoteQueuePair
    this.#remoteQueueKey = remoteQueueKey
    this.#destination = addressHandle
  }

  /** UD: address handle of the next posts. */
  get destination(): AddressHandle | undefined {
    return this.#destination
  }

  /**
   * Writes the request into the ring; nothing is sent before {@link QueuePair.submit}.
   *
   * @param cookie u32 that the completion will carry
   * @param offset bytes from the start of the region
   * @param length in bytes; to the region's end by default; at most {@link QueuePair.longestMessage}
   * @returns 0, or −1 when the queue is full: poll, then try again
   */
  post(cookie: number, offset = 0, length: number = rest(this.#elements.size, offset)): number {
    checkCookie(cookie)
    checkStretch(offset, length, this.#elements.size, this.#longest)
    const ring = this.#ring
    const at = ring.claim()
    if (at < 0) return -1
    const words = ring.words
    words[at + Send.head] = this.#head
    words[at + Send.cookie] = cookie
    words[at + Send.immediate] = this.#immediate
    if (this.#datagram) {
      words[at + Send.addressHandle] = this.#addressHandle
      words[at + Send.remoteQpn] = this.#remoteQueuePair
      words[at + Send.remoteQkey] = this.#remoteQueueKey
    }
    if (this.#elements.memory) writeElement(words, at + Send.elements, this.#elements.region, offset, length)
    else copyElements(words, at + Send.elements, this.#elements.fixed)
    return 0
  }
}
