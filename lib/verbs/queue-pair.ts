import { randomInt } from 'node:crypto'
import { integer, oneOf, typeError, uint32 } from '../argument.js'
import { type VerbsError, verbsError } from '../errors.js'
import { idOf, NativeHandle } from '../handle.js'
import { Kind, native } from '../native.js'
import { CompletionQueue } from './completion-queue.js'
import { type ConnectOptions, checkConnectOptions } from './connect-options.js'
import {
  type Access,
  nameOf,
  type QueuePairState,
  QueuePairStates,
  type QueuePairType,
  QueuePairTypes,
} from './constants.js'
import type { RequestMemory } from './elements.js'
import { checkEndpoint, type Endpoint } from './endpoint.js'
import { bestGid, type GidEntry, gidKind } from './gid.js'
import { orLargestInline } from './largest-inline.js'
import type { QueuePairSizes } from './native.js'
import {
  type AtomicOptions,
  type Posting,
  PreparedAtomic,
  PreparedReceive,
  PreparedSend,
  PreparedTransfer,
  type SendOptions,
  type TransferOptions,
} from './prepared.js'
import type { ProtectionDomain } from './protection-domain.js'
import {
  fromNative,
  type QueuePairAttributes,
  type QueuePairQuery,
  toNative,
} from './queue-pair-attributes.js'
import { type AttributeName, diagnose } from './queue-pair-state.js'
import { Control, controlWords, receiveWords, sendWords } from './records.js'
import { isRetriable, refusalError } from './refusal.js'
import { RequestRing } from './request-ring.js'

/** Options of {@link ProtectionDomain.createQueuePair}. */
export interface QueuePairOptions {
  /** Reliable connection, unreliable connection, or unreliable datagram. */
  type: QueuePairType
  /** Completion queue of both halves. */
  cq?: CompletionQueue
  /** Completion queue of sends, instead of `cq`. */
  sendCq?: CompletionQueue
  /** Completion queue of receives, instead of `cq`. */
  recvCq?: CompletionQueue
  /** Send requests that may be outstanding, 64 by default: it takes as many places of the completion queue. */
  maxSendWr?: number
  /** Receive requests that may be outstanding, 64 by default: it takes as many places of the completion queue. */
  maxRecvWr?: number
  /** Scatter/gather elements of a send, 1 by default. */
  maxSendSge?: number
  /** Scatter/gather elements of a receive, 1 by default. */
  maxRecvSge?: number
  /** Bytes that can be sent inline, 0 by default. The device may grant more: see {@link QueuePair.capabilities}. */
  maxInline?: number
  /** Port, from 1; 1 by default. */
  port?: number
  /** Index of the GID to use; by default the RoCE v2 GID that reaches farthest. */
  gidIndex?: number
  /** UD: queue key that senders must know; 0x11111111 by default, as rdma-core's examples. */
  queueKey?: number
  /** First packet sequence number to send, 24 bits; random by default. */
  packetSequenceNumber?: number
}

const defaultQueueKey = 0x11111111

/**
 * A queue pair (ibv_create_qp(3)): prepare requests once, post them as often as you like, submit them in batches.
 */
export class QueuePair extends NativeHandle {
  readonly domain: ProtectionDomain
  readonly type: QueuePairType
  /** Number of the queue pair: 24 bits. */
  readonly number: number
  /** What the device granted (ibv_create_qp(3)); it may be more than was asked for. */
  readonly capabilities: Readonly<QueuePairSizes>
  /** Completion queue of sends. */
  readonly sendCq: CompletionQueue
  /** Completion queue of receives. */
  readonly recvCq: CompletionQueue
  /** What the peer must know: send it there, and give the peer's to {@link connect}. */
  readonly endpoint: Readonly<Endpoint>
  /** Port in use. */
  readonly port: number
  /** Index of the GID in use. */
  readonly gidIndex: number

  readonly #handle: number
  readonly #control: Uint32Array
  readonly #send: RequestRing
  readonly #receive: RequestRing
  readonly #sendPosting: Posting
  readonly #receivePosting: Posting
  #error: VerbsError | null = null

  private constructor(domain: ProtectionDomain, made: Made) {
    super(made.handle, Kind.QueuePair, 'queue pair')
    const { sizes, block } = made
    this.#handle = made.handle
    this.domain = domain
    this.type = made.type
    this.number = made.endpoint.queuePairNumber
    this.capabilities = Object.freeze(made.capabilities)
    this.sendCq = made.sendCq
    this.recvCq = made.recvCq
    this.endpoint = Object.freeze(made.endpoint)
    this.port = made.port
    this.gidIndex = made.gidIndex
    this.#control = block.subarray(0, controlWords)
    const sendStride = sendWords(sizes.maxSendSge)
    const receiveStride = receiveWords(sizes.maxRecvSge)
    const receives = controlWords + sizes.maxSendWr * sendStride
    this.#send = new RequestRing(
      block.subarray(controlWords, receives),
      this.#control,
      Control.sendOutstanding,
      sizes.maxSendWr,
      sendStride,
    )
    this.#receive = new RequestRing(
      block.subarray(receives),
      this.#control,
      Control.receiveOutstanding,
      sizes.maxRecvWr,
      receiveStride,
    )
    this.#sendPosting = { ring: this.#send, domain, maxElements: sizes.maxSendSge, type: made.type }
    this.#receivePosting = { ring: this.#receive, domain, maxElements: sizes.maxRecvSge, type: made.type }
  }

  /** @internal */
  static create(domain: ProtectionDomain, domainHandle: number, options: QueuePairOptions): QueuePair {
    if (typeof options !== 'object' || options === null) throw typeError('options', 'an object', options)
    const type = oneOf('options.type', options.type, Object.keys(QueuePairTypes) as QueuePairType[])
    const context = domain.context
    const [sendName, sendCq] = queueOf(options, 'sendCq')
    const [receiveName, recvCq] = queueOf(options, 'recvCq')
    const sendQueue = idOf(sendName, sendCq, CompletionQueue)
    const receiveQueue = idOf(receiveName, recvCq, CompletionQueue)
    if (sendCq.context !== context) throw typeError(sendName, "of the domain's own context", sendCq)
    if (recvCq.context !== context) throw typeError(receiveName, "of the domain's own context", recvCq)
    const limits = context.limits
    const sizes: QueuePairSizes = {
      maxSendWr: integer('options.maxSendWr', options.maxSendWr ?? 64, 1, limits.maxQpWr),
      maxRecvWr: integer('options.maxRecvWr', options.maxRecvWr ?? 64, 1, limits.maxQpWr),
      maxSendSge: integer('options.maxSendSge', options.maxSendSge ?? 1, 1, Math.min(limits.maxSge, 255)),
      maxRecvSge: integer('options.maxRecvSge', options.maxRecvSge ?? 1, 1, Math.min(limits.maxSge, 255)),
      maxInline: integer('options.maxInline', options.maxInline ?? 0, 0, 0xffff),
    }
    const port = integer('options.port', options.port ?? 1, 1, context.portCount)
    const portAttributes = context.queryPort(port)
    const gid = chooseGid(domain, port, options.gidIndex)
    const queueKey = uint32('options.queueKey', options.queueKey ?? defaultQueueKey)
    const packetSequenceNumber = integer(
      'options.packetSequenceNumber',
      options.packetSequenceNumber ?? randomInt(1 << 24),
      0,
      0xffffff,
    )
    const words =
      controlWords +
      sizes.maxSendWr * sendWords(sizes.maxSendSge) +
      sizes.maxRecvWr * receiveWords(sizes.maxRecvSge)
    const block = new Uint32Array(new SharedArrayBuffer(words * 4))
    const make = (maxInline: number) =>
      native.verbs.createQueuePair(
        domainHandle,
        sendQueue,
        receiveQueue,
        { type: QueuePairTypes[type], ...sizes, maxInline },
        block,
      )
    const { handle, number, ...capabilities } = orLargestInline(sizes.maxInline, make)
    const endpoint: Endpoint = {
      type,
      queuePairNumber: number,
      packetSequenceNumber,
      gid: gid?.gid ?? '::',
      lid: portAttributes.lid,
      mtu: portAttributes.activeMtu,
    }
    if (type === 'UD') endpoint.queueKey = queueKey
    const pair = new QueuePair(domain, {
      handle,
      type,
      sizes,
      capabilities,
      block,
      sendCq,
      recvCq,
      endpoint,
      port,
      gidIndex: gid?.index ?? 0,
    })
    context.adopt(handle, pair)
    return pair
  }

  /** State, as the device tells it (ibv_query_qp(3)). */
  get state(): QueuePairState {
    this.assertOpen()
    return nameOf(QueuePairStates, native.verbs.queryQueuePair(this.#handle).state)
  }

  /** All attributes, as the device tells them (ibv_query_qp(3)). */
  query(): QueuePairQuery {
    this.assertOpen()
    return fromNative(native.verbs.queryQueuePair(this.#handle))
  }

  /**
   * ibv_modify_qp(3). A transition that is not allowed, lacks an attribute or has one too many is refused with words
   * that name it. RESET releases every request that is outstanding, without a completion.
   *
   * @throws VerbsError EINVAL
   */
  modify(attributes: QueuePairAttributes): void {
    const wanted = toNative(this.domain.context, attributes)
    const from = this.state
    const to = attributes.state ?? from
    const given = (Object.keys(wanted) as (keyof QueuePairAttributes)[]).filter((name) => name !== 'state')
    // Some kernels believe currentState (rxe of Linux 6.1 goes from INIT to RTS with it, and no peer set).
    const { currentState = from } = attributes
    const wrong =
      currentState === from
        ? diagnose(this.type, from, to, given as AttributeName[])
        : `the queue pair is in ${from}, not in ${currentState} as currentState says`
    if (wrong) throw verbsError('EINVAL', 'ibv_modify_qp', wrong)
    native.verbs.modifyQueuePair(this.#handle, wanted)
    if (attributes.state === 'RESET') {
      this.#send.clear()
      this.#receive.clear()
    }
  }

  /**
   * Makes the queue pair ready to send and receive: INIT → RTR → RTS, from RESET or INIT. RC and UC need the other
   * side's endpoint; UD needs none.
   *
   * @throws VerbsError EINVAL when it is connected already, or when the two GIDs cannot reach each other
   */
  connect(remote?: Endpoint, options?: ConnectOptions): void {
    const settings = checkConnectOptions(this.domain.context, options)
    const peer = this.type === 'UD' ? undefined : checkEndpoint('remote', remote, this.type)
    const from = this.state
    if (from !== 'RESET' && from !== 'INIT') {
      throw verbsError(
        'EINVAL',
        'ibv_modify_qp',
        `the queue pair is in ${from}: connect() starts from RESET or INIT`,
      )
    }
    if (peer) this.#assertRoute(peer)
    if (from === 'RESET') this.initialize(settings)
    if (!peer) {
      this.modify({ state: 'RTR' })
      this.modify({ state: 'RTS', sqPsn: this.endpoint.packetSequenceNumber })
      return
    }
    const limits = this.domain.context.limits
    const reliable = this.type === 'RC'
    this.modify({
      state: 'RTR',
      pathMtu: settings.pathMtu ?? Math.min(this.endpoint.mtu, peer.mtu),
      destQpNum: peer.queuePairNumber,
      rqPsn: peer.packetSequenceNumber,
      addressVector: {
        port: this.port,
        lid: peer.lid,
        serviceLevel: settings.serviceLevel,
        ...(peer.gid === '::'
          ? {}
          : {
              gid: peer.gid,
              gidIndex: this.gidIndex,
              hopLimit: settings.hopLimit,
              trafficClass: settings.trafficClass,
              flowLabel: settings.flowLabel,
            }),
      },
      ...(reliable && {
        maxDestRdAtomic: settings.maxDestRdAtomic ?? Math.min(limits.maxQpRdAtom, 16),
        minRnrTimer: settings.minRnrTimer ?? 12,
      }),
    })
    this.modify({
      state: 'RTS',
      sqPsn: this.endpoint.packetSequenceNumber,
      ...(reliable && {
        timeout: settings.timeout ?? 14,
        retryCount: settings.retryCount ?? 6,
        rnrRetry: settings.rnrRetry ?? 6,
        maxRdAtomic: settings.maxRdAtomic ?? Math.min(limits.maxQpInitRdAtom, 16),
      }),
    })
  }

  /** RESET → INIT: from here on receives can be posted, so that they are there before the peer sends. */
  initialize(options?: Pick<ConnectOptions, 'access' | 'pkeyIndex'>): void {
    const { pkeyIndex = 0, access } = checkConnectOptions(this.domain.context, options)
    if (this.type === 'UD') {
      this.modify({ state: 'INIT', port: this.port, pkeyIndex, qkey: this.endpoint.queueKey })
      return
    }
    const atomics = this.type === 'RC' && this.domain.context.limits.atomicCap !== 'NONE'
    const all: Access[] = ['REMOTE_WRITE']
    if (this.type === 'RC') all.push('REMOTE_READ')
    if (atomics) all.push('REMOTE_ATOMIC')
    this.modify({ state: 'INIT', port: this.port, pkeyIndex, access: access ?? all })
  }

  /** Prepares a send, or a send with immediate data. */
  prepareSend(options: SendOptions): PreparedSend {
    return new PreparedSend(this.#open(options, this.#sendPosting), options)
  }

  /** Prepares an RDMA write, or one with immediate data (RC, UC). */
  prepareWrite(options: TransferOptions): PreparedTransfer {
    this.#assertType('prepareWrite', 'RC', 'UC')
    return new PreparedTransfer(this.#open(options, this.#sendPosting), options, 'write')
  }

  /** Prepares an RDMA read (RC). */
  prepareRead(options: TransferOptions): PreparedTransfer {
    this.#assertType('prepareRead', 'RC')
    return new PreparedTransfer(this.#open(options, this.#sendPosting), options, 'read')
  }

  /** Prepares a compare-and-swap of 8 bytes (RC). */
  prepareCompareAndSwap(options: AtomicOptions): PreparedAtomic {
    this.#assertType('prepareCompareAndSwap', 'RC')
    return new PreparedAtomic(this.#open(options, this.#sendPosting), options, 'compare-and-swap')
  }

  /** Prepares a fetch-and-add of 8 bytes (RC). */
  prepareFetchAndAdd(options: AtomicOptions): PreparedAtomic {
    this.#assertType('prepareFetchAndAdd', 'RC')
    return new PreparedAtomic(this.#open(options, this.#sendPosting), options, 'fetch-and-add')
  }

  /** Prepares a receive. */
  prepareReceive(options: RequestMemory): PreparedReceive {
    return new PreparedReceive(this.#open(options, this.#receivePosting), options)
  }

  /**
   * Hands everything that was posted to the device: receives, then sends, one native call each.
   *
   * A request that is refused is dropped, with {@link error} saying which and why; what comes after it waits for the
   * next submit. A request that is refused because of the queue pair's state, or because the device is full, stays
   * and can be tried again.
   *
   * @returns how many the device took
   * @throws Error ERR_IBVERBS_CLOSED
   */
  submit(): number {
    this.#error = null
    let accepted = 0
    if (this.#receive.pending + this.#send.pending === 0) this.assertOpen() // else the binding asserts it
    if (this.#receive.pending > 0) {
      accepted += this.#flush(this.#receive, native.verbs.postReceive, 'ibv_post_recv')
    }
    if (this.#send.pending > 0) accepted += this.#flush(this.#send, native.verbs.postSend, 'ibv_post_send')
    return accepted
  }

  /** Why the last {@link submit} refused a request; its `cookie` says which. Null when it refused none. */
  get error(): VerbsError | null {
    return this.#error
  }

  /** Places for further send requests. */
  get sendFree(): number {
    return this.#send.free
  }

  /** Places for further receive requests. */
  get receiveFree(): number {
    return this.#receive.free
  }

  /** Send requests that the device has and that no completion has retired. */
  get sendOutstanding(): number {
    return this.#control[Control.sendOutstanding]
  }

  /** Receive requests that the device has. */
  get receiveOutstanding(): number {
    return this.#control[Control.receiveOutstanding]
  }

  /**
   * Submits what is pending and waits until every signalled send has completed. Their completions, and all others
   * that come meanwhile, stay for the next polls. A send to a peer that is gone ends with the timers of
   * {@link connect}. Requests that a full queue or the queue pair's state holds back are not waited for.
   */
  async drain(): Promise<void> {
    this.assertOpen()
    this.submit()
    // In SQD the device holds them back, for as long as it stays there.
    while (!this.closed && !native.verbs.settled(this.#handle) && this.state !== 'SQD') {
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  /** Drains, then closes. */
  override async [Symbol.asyncDispose](): Promise<void> {
    if (!this.closed) await this.drain()
    this.close()
  }

  #flush(
    ring: RequestRing,
    post: (pair: number, first: number, count: number) => number,
    syscall: string,
  ): number {
    const wanted = ring.pending
    const accepted = post(this.#handle, ring.first, wanted)
    if (accepted < wanted) this.#refused(ring, accepted, syscall)
    else ring.advance(accepted)
    return accepted
  }

  #refused(ring: RequestRing, accepted: number, syscall: string): void {
    ring.advance(accepted)
    const errno = this.#control[Control.errno]
    if (errno === 0) return
    const reason = this.#control[Control.reason]
    this.#error ??= refusalError({
      errno,
      reason,
      detail: this.#control[Control.detail],
      syscall,
      cookie: ring.words[ring.first * ring.stride + 1],
      maxInline: this.capabilities.maxInline,
    })
    if (!isRetriable(reason, errno)) ring.advance(1)
  }

  #open(options: unknown, posting: Posting): Posting {
    if (typeof options !== 'object' || options === null) throw typeError('options', 'an object', options)
    this.assertOpen()
    return posting
  }

  #assertType(operation: string, ...types: QueuePairType[]): void {
    if (types.includes(this.type)) return
    throw verbsError(
      'EOPNOTSUPP',
      operation,
      `the queue pair is of type ${this.type}: it takes ${types.join(' or ')}`,
    )
  }

  // Two RoCE ends of different kinds have no way to each other: said here, it is a sentence; later, a timeout.
  #assertRoute(peer: Endpoint): void {
    if (peer.gid === '::' || this.endpoint.gid === '::') return
    const [ours, theirs] = [gidKind(this.endpoint.gid), gidKind(peer.gid)]
    if (ours === theirs || (ours === 'IPv6' && theirs === 'link-local')) return
    throw verbsError(
      'EINVAL',
      'ibv_modify_qp',
      `the peer's GID ${peer.gid} is ${theirs} and ours, ${this.endpoint.gid}, ${ours}: ` +
        'create both queue pairs with a gidIndex of the same kind (ibverbs devices lists them)',
    )
  }

  protected override describe(): Record<string, unknown> {
    return { type: this.type, number: this.number, state: this.state, closed: false }
  }
}

interface Made {
  handle: number
  type: QueuePairType
  sizes: QueuePairSizes
  capabilities: QueuePairSizes
  block: Uint32Array
  sendCq: CompletionQueue
  recvCq: CompletionQueue
  endpoint: Endpoint
  port: number
  gidIndex: number
}

/** The completion queue of one half, and the option that named it. */
function queueOf(options: QueuePairOptions, half: 'sendCq' | 'recvCq'): [string, CompletionQueue] {
  const own = options[half] ?? undefined
  return own !== undefined ? [`options.${half}`, own] : ['options.cq', options.cq as CompletionQueue]
}

/** The named GID, or the best there is; undefined on InfiniBand without one. */
function chooseGid(domain: ProtectionDomain, port: number, index: number | undefined): GidEntry | undefined {
  const table = domain.context.queryGidTable()
  if (index === undefined) return bestGid(table, port)
  integer('options.gidIndex', index, 0, 255)
  const entry = table.find((each) => each.port === port && each.index === index)
  if (entry) return entry
  const there = table.filter((each) => each.port === port).map((each) => `${each.index} (${each.gid})`)
  throw verbsError(
    'EINVAL',
    'ibv_query_gid_table',
    `port ${port} of ${domain.context.name} has no GID at index ${index}: there are ${there.join(', ') || 'none'}`,
  )
}
