import { integer } from '../../argument.js'
import { closedError, directError, drivenError, VerbsError, verbsError } from '../../errors.js'
import type { Alternative } from '../../flow/alternative.js'
import type { FlowRule } from '../../flow/rule.js'
import { NativeHandle } from '../../handle.js'
import { Kind, native } from '../../native.js'
import { checkEndpoint, type Endpoint } from '../address/endpoint.js'
import { checkGroup } from '../address/gid.js'
import type { CompletionQueue } from '../completion-queue.js'
import { nameOf, type QueuePairState, QueuePairStates, type QueuePairType } from '../constants.js'
import { type DefaultFlow, Flow, type FlowOptions } from '../flow.js'
import type { NativeQueuePairState } from '../native.js'
import type { ProtectionDomain } from '../protection-domain.js'
import { type AtomicOptions, PreparedAtomic } from '../request/atomic.js'
import type { RequestMemory } from '../request/elements.js'
import type { Posting } from '../request/posting.js'
import { PreparedReceive } from '../request/receive.js'
import { Control } from '../request/records.js'
import { refusalOf } from '../request/refusal.js'
import type { RequestRing } from '../request/ring.js'
import { PreparedSend, type SendOptions } from '../request/send.js'
import { PreparedTransfer, type TransferOptions } from '../request/transfer.js'
import { fromNative, type QueuePairAttributes, type QueuePairQuery, toNative } from './attributes.js'
import type { QueuePairCapabilities } from './capabilities.js'
import {
  type ConnectOptions,
  checkConnectOptions,
  checkInitializeOptions,
  type InitializeOptions,
} from './connect-options.js'
import { connectingAttributes, initialAttributes } from './connection.js'
import { createQueuePair } from './create.js'
import type { CreatedQueuePair } from './created.js'
import type { DriveQueuePair, QueuePairDriver } from './driver.js'
import type { QueuePairOptions } from './options.js'
import type { QueuePairRingPlace } from './ring-place.js'
import { diagnose } from './transition.js'

/** In the control words when the queue pair is closed, and its bell rings nothing: more than any ring holds. */
const closed = 0xffffffff

/**
 * A queue pair (ibv_create_qp(3)): prepare requests once, post them as often as you like, submit them in batches.
 */
export class QueuePair extends NativeHandle {
  readonly domain: ProtectionDomain
  readonly type: QueuePairType
  /** Number of the queue pair: 24 bits. */
  readonly number: number
  /** The sizes that the device granted (ibv_create_qp(3)); they may be larger than asked for. */
  readonly capabilities: Readonly<QueuePairCapabilities>
  /** Completion queue of sends. */
  readonly sendCq: CompletionQueue
  /** Completion queue of receives. */
  readonly receiveCq: CompletionQueue
  /** What the peer must know: send it to the peer, and give the peer's to {@link connect}. */
  readonly endpoint: Readonly<Endpoint>
  /** Port in use. */
  readonly port: number
  /** Index of the GID in use. */
  readonly gidIndex: number
  /**
   * Maximum bytes that one request may send, write or read, by the port's attributes when this was created: the longest
   * message of the port (max_msg_sz of ibv_port_attr); for UD its MTU; for RAW_PACKET a frame of the interface's MTU. A
   * receive may be longer.
   */
  readonly longestMessage: number

  readonly #handle: number
  #ring: () => void
  #handedOver = false
  readonly #driver: QueuePairDriver | undefined
  readonly #control: Uint32Array
  readonly #send: RequestRing
  readonly #receive: RequestRing
  readonly #sendPosting: Posting
  readonly #receivePosting: Posting
  #error: VerbsError | null = null

  private constructor(
    domain: ProtectionDomain,
    created: CreatedQueuePair,
    drive: DriveQueuePair | undefined,
  ) {
    super(created.handle, Kind.QueuePair, 'queue pair')
    const { submitBell } = native.verbs
    const { type, sizes, rings, longestMessage } = created
    this.#handle = created.handle
    this.domain = domain
    this.type = type
    this.number = created.endpoint.queuePairNumber
    this.capabilities = Object.freeze(created.capabilities)
    this.sendCq = created.sendCq
    this.receiveCq = created.receiveCq
    this.endpoint = Object.freeze(created.endpoint)
    this.port = created.port
    this.gidIndex = created.gidIndex
    this.longestMessage = longestMessage
    this.#control = rings.control
    this.#driver = drive?.(created)
    this.#ring = this.#driver?.submit ?? submitBell(created.handle, rings.control)
    this.#send = rings.send
    this.#receive = rings.receive
    this.#sendPosting = {
      domain,
      type,
      ring: rings.send,
      maxElements: sizes.maxSendSge,
      longest: longestMessage,
    }
    this.#receivePosting = {
      domain,
      type,
      ring: rings.receive,
      maxElements: sizes.maxReceiveSge,
      longest: Number.POSITIVE_INFINITY,
    }
  }

  /** @internal */
  static create(
    domain: ProtectionDomain,
    domainHandle: number,
    options: QueuePairOptions,
    place?: QueuePairRingPlace,
  ): QueuePair {
    const { context } = domain
    const created = createQueuePair(context, domainHandle, options, place)
    let pair: QueuePair
    try {
      pair = new QueuePair(domain, created, place?.drive)
    } catch (error) {
      native.close(created.handle, Kind.QueuePair)
      throw error
    }
    context.adopt(created.handle, pair)
    return pair
  }

  /** The state, queried from the device (ibv_query_qp(3)). */
  get state(): QueuePairState {
    return nameOf(QueuePairStates, this.#query().state)
  }

  /** All attributes, queried from the device (ibv_query_qp(3)). */
  query(): QueuePairQuery {
    return fromNative(this.#query())
  }

  #query(): NativeQueuePairState {
    this.assertOpen()
    const told = native.verbs.queryQueuePair(this.#handle)
    this.#driver?.told(told.state)
    return told
  }

  /**
   * ibv_modify_qp(3). A transition that does not exist, a missing attribute or one that does not belong to the
   * transition is refused by name. RESET drops every outstanding request, without a completion.
   *
   * @throws VerbsError EINVAL
   */
  modify(attributes: QueuePairAttributes): void {
    const wanted = toNative(this.domain.context, attributes)
    const from = this.state
    const wrong = diagnose(this.type, from, attributes)
    if (wrong) throw verbsError('EINVAL', 'ibv_modify_qp', wrong)
    if (attributes.state === 'RESET') {
      // The binding drops what it finds in the rings.
      this.#send.publish()
      this.#receive.publish()
    }
    try {
      native.verbs.modifyQueuePair(this.#handle, wanted)
      if (attributes.state !== undefined) this.#driver?.told(QueuePairStates[attributes.state])
      if (attributes.state === 'RESET') this.#driver?.reset()
    } catch (error) {
      if (from !== 'SQD' || attributes.state !== 'RTS' || !(error instanceof VerbsError)) throw error
      // rxe_qp_chk_attr, Linux 6.1. By now they may be drained.
      throw new VerbsError(
        -error.errno,
        error.syscall,
        'SQD → RTS waits for the sends that were under way: until query().sqDraining is false, or for the event SQ_DRAINED',
      )
    }
  }

  /**
   * Makes the queue pair ready to send and receive: INIT → RTR → RTS, from RESET or INIT. RC and UC need the peer's
   * endpoint; UD and RAW_PACKET need none. A RAW_PACKET queue pair receives the frames that match its flow rules
   * ({@link createFlow}).
   *
   * On RoCE the kernel resolves the neighbour at INIT → RTR and blocks this thread: for a second or more if nobody
   * answers.
   *
   * @throws VerbsError EINVAL if it is already connected, or if the two GIDs cannot reach each other; ETIMEDOUT, with
   *   the GID and the index of the local one, if nobody answers
   */
  connect(remote?: Endpoint, options?: ConnectOptions): void {
    const { context } = this.domain
    const settings = checkConnectOptions(context, this.type, options)
    const connected = this.type === 'RC' || this.type === 'UC'
    const peer = connected ? checkEndpoint('remote', remote, this.type) : undefined
    const from = this.state
    if (from !== 'RESET' && from !== 'INIT') {
      throw verbsError(
        'EINVAL',
        'ibv_modify_qp',
        `the queue pair is in ${from}: connect() starts from RESET or INIT`,
      )
    }
    const steps = connectingAttributes(this, context, peer, settings)
    if (from === 'RESET') this.initialize({ access: settings.access, pkeyIndex: settings.pkeyIndex })
    for (const attributes of steps) this.modify(attributes)
  }

  /** RESET → INIT: from here on receives can be posted, so that they are ready before the peer sends. */
  initialize(options?: InitializeOptions): void {
    const { context } = this.domain
    this.modify(initialAttributes(this, context, checkInitializeOptions(context, this.type, options)))
  }

  /** Prepares a send, or a send with immediate data. */
  prepareSend(options: SendOptions): PreparedSend {
    return PreparedSend.of(this.#open(this.#sendPosting), options)
  }

  /** Prepares an RDMA write, or one with immediate data (RC, UC). */
  prepareWrite(options: TransferOptions): PreparedTransfer {
    this.#assertType('prepareWrite', 'RC', 'UC')
    return PreparedTransfer.of(this.#open(this.#sendPosting), options, 'write')
  }

  /** Prepares an RDMA read (RC). */
  prepareRead(options: TransferOptions): PreparedTransfer {
    this.#assertType('prepareRead', 'RC')
    return PreparedTransfer.of(this.#open(this.#sendPosting), options, 'read')
  }

  /** Prepares a compare-and-swap of 8 bytes (RC). */
  prepareCompareAndSwap(options: AtomicOptions): PreparedAtomic {
    this.#assertType('prepareCompareAndSwap', 'RC')
    return PreparedAtomic.of(this.#open(this.#sendPosting), options, 'compare-and-swap')
  }

  /** Prepares a fetch-and-add of 8 bytes (RC). */
  prepareFetchAndAdd(options: AtomicOptions): PreparedAtomic {
    this.#assertType('prepareFetchAndAdd', 'RC')
    return PreparedAtomic.of(this.#open(this.#sendPosting), options, 'fetch-and-add')
  }

  /**
   * Steers the frames that match to this queue pair (RAW_PACKET; ibv_create_flow(3)): they reach no other queue, nor
   * the kernel. What the device's rules cannot express is refused by name, never widened.
   *
   * @param rules one rule, or several of which any may match; or a rule that the device has built in: every frame that
   *   no other rule matches ('allDefault'), every such multicast frame ('multicastDefault'), a copy of every frame
   *   ('sniffer')
   * @throws VerbsError ENOTSUP that names the rule's field that the device cannot express; EPERM without CAP_NET_RAW;
   *   TypeError, RangeError
   */
  createFlow(rules: FlowRule | readonly FlowRule[] | DefaultFlow, options?: FlowOptions): Flow {
    this.#assertType('createFlow', 'RAW_PACKET')
    this.assertOpen()
    return Flow.create(this, this.#makeFlow, rules, options)
  }

  /** The same for rules in normal form. @internal */
  createFlowOf(alternatives: readonly Alternative[], name: string): Flow {
    this.assertOpen()
    return Flow.of(this, this.#makeFlow, alternatives, name)
  }

  get #makeFlow() {
    return native.verbs.createFlow.bind(undefined, this.#handle)
  }

  /**
   * Joins a multicast group (UD; ibv_attach_mcast(3)): from now on this queue pair receives a copy of each datagram
   * sent to the group, that is to {@link multicastQueuePair} with this queue pair's queue key. Closing the queue pair
   * leaves all groups.
   *
   * On Ethernet the packets of the group must first reach the port: where the kernel (rxe) or a snooping switch
   * requires it, the network interface must be a member of the group as well, and ibv_attach_mcast does not make it
   * one. A socket does: addMembership() of `dgram`, for IPv6 with '%' and the interface's name behind the address.
   *
   * @param gid 'ff0e::1', or '::ffff:239.0.0.1' for the IPv4 group 239.0.0.1
   * @param lid the group's LID, on InfiniBand
   */
  attachMulticast(gid: string, lid = 0): void {
    this.#multicast(native.verbs.attachMulticast, gid, lid)
  }

  /**
   * Leaves a group ({@link attachMulticast}).
   *
   * @throws VerbsError EINVAL if this queue pair is not a member
   */
  detachMulticast(gid: string, lid = 0): void {
    this.#multicast(native.verbs.detachMulticast, gid, lid)
  }

  #multicast(call: typeof native.verbs.attachMulticast, gid: string, lid: number): void {
    this.#assertType('attachMulticast and detachMulticast', 'UD')
    this.assertOpen()
    call(this.#handle, checkGroup('gid', gid), integer('lid', lid, 0, 0xffff))
  }

  /** Prepares a receive. */
  prepareReceive(options: RequestMemory): PreparedReceive {
    return PreparedReceive.of(this.#open(this.#receivePosting), options)
  }

  /**
   * Hands all posted requests to the device, receives before sends, in one native call.
   *
   * A refused request is dropped: {@link error} says which and why, and the requests after it wait for the next submit.
   * A request refused because of the queue pair's state, or because the device is full, stays for another try.
   *
   * @returns how many requests the device accepted
   * @throws Error ERR_IBVERBS_CLOSED
   */
  submit(): number {
    this.#error = null
    const receive = this.#receive
    const send = this.#send
    const posted = receive.outstanding() + send.outstanding()
    receive.publish()
    send.publish()
    const control = this.#control
    control[Control.submitted] = closed
    this.#ring()
    const accepted = control[Control.submitted]
    if (accepted === closed) throw this.#handedOver ? directError('queue pair') : closedError('queue pair')
    if (accepted !== posted) this.#error = refusalOf(control, this)
    return accepted
  }

  /**
   * From here on somebody else drives the device's rings: posting and submitting throw ERR_IBVERBS_DIRECT.
   *
   * @throws Error ERR_IBVERBS_DIRECT at the second time
   * @internal
   */
  handOver(): void {
    this.assertOpen()
    if (this.#driver) throw drivenError('queue pair')
    if (this.#handedOver) throw directError('queue pair')
    this.#handedOver = true
    this.#send.handOver()
    this.#receive.handOver()
    this.#ring = () => {}
  }

  /** Why the last {@link submit} refused a request; its `cookie` says which. Null when it refused none. */
  get error(): VerbsError | null {
    return this.#error
  }

  /** How many more send requests the queue can take. */
  get sendFree(): number {
    return this.#send.free
  }

  /** How many more receive requests the queue can take. */
  get receiveFree(): number {
    return this.#receive.free
  }

  /** Send requests that the device has accepted and no completion has retired. */
  get sendOutstanding(): number {
    return this.#control[Control.sendOutstanding]
  }

  /** Receive requests that the device has accepted and no completion has retired. */
  get receiveOutstanding(): number {
    return this.#control[Control.receiveOutstanding]
  }

  /**
   * Submits all posted requests and waits until every signalled send has completed. Their completions, and all others
   * that arrive meanwhile, stay for the next polls. A send to a lost peer ends by the timers of {@link connect}. This
   * does not wait for requests that a full queue or the queue pair's state holds back.
   */
  async drain(): Promise<void> {
    this.assertOpen()
    if (this.#handedOver) return
    this.submit()
    // In SQD the device holds the sends back, for as long as it stays in that state.
    const settled = () => this.#driver?.settled() ?? native.verbs.settled(this.#handle)
    while (!this.closed && !settled() && this.state !== 'SQD') {
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  /** Drains, then closes. */
  override async [Symbol.asyncDispose](): Promise<void> {
    if (!this.closed) await this.drain()
    this.close()
  }

  #open(posting: Posting): Posting {
    this.assertOpen()
    return posting
  }

  #assertType(operation: string, ...types: QueuePairType[]): void {
    if (types.includes(this.type)) return
    throw verbsError(
      'ENOTSUP',
      operation,
      `the queue pair is of type ${this.type}: it takes ${types.join(' or ')}`,
    )
  }

  /** @internal */
  protected override describe(): Record<string, unknown> {
    return { type: this.type, number: this.number, state: this.state, closed: false }
  }
}
