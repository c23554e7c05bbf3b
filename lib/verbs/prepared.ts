/**
 * Requests prepared once and posted many times. A post writes numbers into the queue pair's ring and nothing else:
 * no native call, no allocation; {@link QueuePair.submit} hands all of them to the device.
 */
import {
  boolean,
  integer,
  type Names,
  object,
  oneOf,
  rangeError,
  string,
  typeError,
  uint32,
} from '../argument.js'
import { idOf } from '../handle.js'
import { AddressHandle } from './address-handle.js'
import { type ElementLimits, Elements, type RequestMemory, requestMemoryNames } from './elements.js'
import { checkVersion } from './endpoint.js'
import type { RemoteMemory } from './memory-region.js'
import { Receive, Send, SendFlag, WorkRequestOpcode } from './records.js'
import {
  checkCookie,
  checkStretch,
  copyElements,
  mostOfElement,
  type RequestRing,
  rest,
  writeElement,
} from './request-ring.js'

/** Flags of a send request (ibv_send_flags, ibv_post_send(3)). */
export interface SendFlags {
  /** Bring a completion: true by default. An unsignalled request completes silently unless it fails. */
  signaled?: boolean
  /** Wait for earlier reads and atomics of this queue pair. Default false. */
  fence?: boolean
  /** Wake a receiver that waits for solicited completions only: see {@link CompletionWaitOptions}. Default false. */
  solicited?: boolean
  /** Copy the bytes at submit: they may be changed at once, and need no region's keys. Default false. */
  inline?: boolean
  /**
   * RAW_PACKET: the device computes the IPv4 header's, TCP's and UDP's checksums as it sends (IBV_SEND_IP_CSUM).
   * Default false.
   */
  checksum?: boolean
}

/** Options of {@link QueuePair.prepareSend}. */
export interface SendOptions extends RequestMemory, SendFlags {
  /** Immediate data (u32) that the receiver's completion carries; can be changed later. Default: none. */
  immediate?: number
  /** UD: where to. Left out on the others. */
  addressHandle?: AddressHandle
  /** UD: number of the receiving queue pair. Left out on the others. */
  remoteQueuePair?: number
  /** UD: its queue key. Left out on the others. */
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

/** Options of {@link QueuePair.prepareWrite} and {@link QueuePair.prepareRead}. */
export interface TransferOptions extends RequestMemory, Omit<SendFlags, 'checksum'> {
  /** The peer's region: what its {@link MemoryRegion.remote} gave. */
  remote: RemoteMemory
  /** RDMA write with immediate data (u32): consumes a receive of the peer's. Default: none. */
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

/** Options of {@link QueuePair.prepareCompareAndSwap} and {@link QueuePair.prepareFetchAndAdd}. */
export interface AtomicOptions extends RequestMemory, Omit<SendFlags, 'inline' | 'checksum'> {
  /** The peer's region: what its {@link MemoryRegion.remote} gave. */
  remote: RemoteMemory
}
const atomicOptionNames = {
  ...requestMemoryNames,
  signaled: true,
  fence: true,
  solicited: true,
  remote: true,
} as const satisfies Names<AtomicOptions>

/** What prepared requests need of their queue pair. @internal */
export interface Posting extends ElementLimits {
  ring: RequestRing
  type: string
}

function sendFlags(options: SendFlags): number {
  const flag = (name: keyof SendFlags, bit: number, otherwise: boolean) =>
    boolean(`options.${name}`, options[name] ?? otherwise) ? bit : 0
  return (
    flag('signaled', SendFlag.SIGNALED, true) |
    flag('fence', SendFlag.FENCE, false) |
    flag('solicited', SendFlag.SOLICITED, false) |
    flag('inline', SendFlag.INLINE, false) |
    flag('checksum', SendFlag.IP_CSUM, false)
  )
}

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

  /** UD: where the next posts go. */
  to(addressHandle: AddressHandle, remoteQueuePair: number, remoteQueueKey: number): this {
    if (!this.#datagram) throw typeError('addressHandle', 'for UD queue pairs only', addressHandle)
    this.#aim(addressHandle, remoteQueuePair, remoteQueueKey)
    return this
  }

  /** @param within what the caller's names begin with */
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

  /** UD: where the next posts go, as given. */
  get destination(): AddressHandle | undefined {
    return this.#destination
  }

  /**
   * Writes the request into the ring; nothing is sent before {@link QueuePair.submit}.
   *
   * @param cookie u32 that the completion will carry
   * @param offset bytes from the region's first
   * @param length bytes; to the region's end by default; at most {@link QueuePair.longestMessage}
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

/** A peer's region, checked. */
class Remote {
  readonly address: bigint
  readonly rkey: number
  readonly length: number
  /** Words of the address. */
  readonly low: number
  readonly high: number

  constructor(name: string, remote: RemoteMemory) {
    if (typeof remote !== 'object' || remote === null) throw typeError(name, 'a remote memory', remote)
    const { version, address, rkey, length } = remote
    checkVersion(`${name}.version`, version)
    if (!/^0x[0-9a-f]{1,16}$/i.test(string(`${name}.address`, address))) {
      throw rangeError(`${name}.address`, 'hexadecimal, such as 0x7f00deadb000', address)
    }
    this.address = BigInt(address)
    this.rkey = uint32(`${name}.rkey`, rkey)
    this.length = integer(`${name}.length`, length)
    this.low = Number(this.address & 0xffffffffn)
    this.high = Number(this.address >> 32n)
  }

  /** Writes address + offset as two words. */
  write(words: Uint32Array, at: number, offset: number): void {
    // The low words may carry: below 2^53 the sum is exact.
    const low = this.low + offset
    words[at + Send.rkey] = this.rkey
    words[at + Send.remoteLow] = low >>> 0
    words[at + Send.remoteHigh] = (this.high + Math.floor(low / 0x100000000)) >>> 0
  }

  check(offset: number, length: number): void {
    if (Number.isSafeInteger(offset) && offset >= 0 && length <= this.length - offset) return
    if (typeof offset !== 'number') throw typeError('remoteOffset', 'a number', offset)
    throw rangeError(
      'remoteOffset',
      `such that ${length} bytes lie in the ${this.length} of the peer`,
      offset,
    )
  }
}

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
   * @param offset bytes from the local region's first
   * @param length bytes; to the local region's end by default; at most {@link QueuePair.longestMessage}
   * @param remoteOffset bytes from the peer's region's first
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

/** A prepared atomic: 8 bytes, aligned at the peer; the old value comes into the local region, in host order. */
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
   * Writes the request into the ring; nothing is sent before {@link QueuePair.submit}.
   * 64-bit values are two u32, the low one first.
   *
   * @param cookie u32 that the completion will carry
   * @param offset bytes from the local region's first: 8 bytes there take the old value
   * @param remoteOffset bytes from the peer's region's first; the address must be a multiple of 8
   * @param low of the value to compare with, or to add
   * @param high of the same
   * @param swapLow of the value to put there (compare-and-swap)
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
   * Writes the request into the ring; the device gets it at {@link QueuePair.submit}. A UD receive needs 40 bytes
   * more than the message: the GRH comes first.
   *
   * @param cookie u32 that the completion will carry
   * @param offset bytes from the region's first
   * @param length bytes; to the region's end by default; more than any message has is fine
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
