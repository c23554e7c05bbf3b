import { abortSignal, boolean, integer, type Names, options as optionsOf } from '../argument.js'
import { busyError, closedError, compressedError, directError, drivenError, VerbsError } from '../errors.js'
import { NativeHandle } from '../handle.js'
import { ownCopy, plainAccess } from '../hot/own-copy.js'
import { Kind, native } from '../native.js'
import { cells } from '../ring/ring.js'
import { type WaitOptions, waitOptionNames, waitSignal } from '../wait-options.js'
import { Waiter } from '../waiter.js'
import type { CompletionCalls } from './completion-calls.js'
import type { CompletionDriver, DriveCompletionQueue } from './completion-driver.js'
import {
  CompletionOpcode,
  type CompletionOpcodeName,
  CompletionStatus,
  type CompletionStatusName,
  nameOf,
} from './constants.js'
import type { Context } from './context.js'
import type { CompletionParts, CompletionPolls } from './hot/parts.js'
import { orLargest } from './largest.js'
import { Completion, completionColumns, QueueControl, queueControlWords, RxeRing } from './request/records.js'
import type { CompletionRingPlace } from './ring-place.js'
import { statusHint } from './status-hint.js'

/** Options of {@link Context.createCompletionQueue}. */
export interface CompletionQueueOptions {
  /** Maximum number of completions that one poll returns; 64 by default. */
  batch?: number
  /**
   * Whether completions carry the device's clock ({@link CompletionQueue.timestampLow}; IBV_WC_EX_WITH_COMPLETION_TIMESTAMP
   * of ibv_create_cq_ex(3)). Default false. Where the device has no such clock it is ENOTSUP or EOPNOTSUPP.
   */
  timestamps?: boolean
}
export const completionQueueOptionNames = {
  batch: true,
  timestamps: true,
} as const satisfies Names<CompletionQueueOptions>

/** Options of {@link CompletionQueue.wait}. */
export interface CompletionWaitOptions extends WaitOptions {
  /**
   * Sleep until a solicited completion, that is one of a message sent with `solicited`, or a failed one (solicited_only
   * of ibv_req_notify_cq(3)). Other completions of the meantime come with it. Default false.
   *
   * Completions of any kind that are already there end the wait. So does the first of any kind after a signal has ended
   * another wait on this queue. SoftRoCE does not wake for a failed send.
   */
  solicitedOnly?: boolean
}
const completionWaitOptionNames = {
  ...waitOptionNames,
  solicitedOnly: true,
} as const satisfies Names<CompletionWaitOptions>

/** How long a busy poll stays in native code before timers and signals get their turn, in microseconds. */
const spinSlice = 50

/** In the mailbox of a closed queue, whose bell rings nothing. */
const closedStatus = -(2 ** 31)
/** Of a queue whose ring was handed over (binding/verbs/completion_queue.h). */
const handedOverStatus = closedStatus + 1

/** Queues with a pending wait, by handle. */
const sleeping = new Map<number, CompletionQueue>()

/** Other listeners for the events of a queue, by its handle. */
const watchers = new Map<number, () => void>()

export interface CompletionQueue extends CompletionCalls {}

/**
 * A completion queue (ibv_create_cq(3)).
 *
 * {@link poll} fills the columns below; row `i` of each belongs to the same completion, and all are valid until the
 * next poll. On a status other than SUCCESS only `cookie`, `status`, `opcode`, `queuePairNumber` and `vendorError` mean
 * anything (ibv_poll_cq(3)). A failed completion is delivered like any other, never thrown.
 */
// biome-ignore lint/suspicious/noUnsafeDeclarationMerging: the constructor defines every call of CompletionCalls.
export class CompletionQueue extends NativeHandle {
  readonly context: Context
  /** Entries that the device granted (ibv_create_cq(3)): it may grant more than were asked for. */
  readonly entries: number
  /** Maximum number of completions that one poll returns. */
  readonly batch: number
  readonly #path: Uint32Array
  /** The cookie that the caller gave to `post`. */
  readonly cookie: Uint32Array
  /** ibv_wc_status: {@link CompletionStatus}. */
  readonly status: Uint32Array
  /** ibv_wc_opcode: {@link CompletionOpcode}. For a failed request, the opcode that was posted. */
  readonly opcode: Uint32Array
  /** Bytes received, or transferred by a read or an atomic. For a UD receive, this includes the 40 bytes of the GRH. */
  readonly byteLength: Uint32Array
  /** Immediate data in host order, if `flags` has WITH_IMM. */
  readonly immediate: Uint32Array
  /** ibv_wc_flags: {@link CompletionFlag}. */
  readonly flags: Uint32Array
  /** Number of the queue pair that the request was posted on. */
  readonly queuePairNumber: Uint32Array
  /** UD: number of the sending queue pair. */
  readonly sourceQueuePair: Uint32Array
  /** Vendor-specific error code (vendor_err). */
  readonly vendorError: Uint32Array
  /** RAW_PACKET: tag of the flow rule that the frame matched ({@link QueuePair.createFlow}); 0 without one. */
  readonly flowTag: Uint32Array
  /**
   * With `timestamps`: the device's free-running clock at the completion, in cycles (ibv_wc_read_completion_ts), its lower
   * half, and its upper one in `timestampHigh`. `DeviceClock` of ibverbs/mlx5 converts it. 0 of a failed completion, and of
   * one that came while another queue pair was reset or closed. Without `timestamps` the columns are empty.
   */
  readonly timestampLow: Uint32Array
  readonly timestampHigh: Uint32Array

  readonly #handle: number
  readonly #pollDevice: () => number
  readonly #waiter = new Waiter<number>(this, 'completion queue', {
    started: () => {
      sleeping.set(this.#handle, this)
      if (this.#keepAlive) this.context.countWaiter(1)
    },
    stopped: () => {
      sleeping.delete(this.#handle)
      if (this.#keepAlive) this.context.countWaiter(-1)
    },
  })
  #solicitedOnly = false
  /** Its completions are compressed, which libibverbs cannot read. */
  #unreadable = false
  readonly #driver: CompletionDriver | undefined
  #handedOver = false
  /** Events that came while nobody waited for one. */
  #unseen = 0
  #spinning = false
  #keepAlive = true

  private constructor(
    context: Context,
    made: { handle: number; entries: number; ring?: ArrayBuffer },
    batch: number,
    columns: Uint32Array,
    drive: DriveCompletionQueue | undefined,
  ) {
    const { handle, entries, ring } = made
    super(handle, Kind.CompletionQueue, 'completion queue')
    this.context = context
    this.#handle = handle
    this.entries = entries
    this.batch = batch
    const column = (index: number) => columns.subarray(index * batch, (index + 1) * batch)
    this.cookie = column(Completion.cookie)
    this.status = column(Completion.status)
    this.opcode = column(Completion.opcode)
    this.byteLength = column(Completion.byteLength)
    this.immediate = column(Completion.immediate)
    this.flags = column(Completion.flags)
    this.queuePairNumber = column(Completion.qpn)
    this.sourceQueuePair = column(Completion.sourceQpn)
    this.vendorError = column(Completion.vendorError)
    this.flowTag = column(Completion.flowTag)
    this.#path = column(Completion.path)
    const stamps = columns.subarray(completionColumns * batch + queueControlWords)
    this.timestampLow = stamps.subarray(0, batch)
    this.timestampHigh = stamps.subarray(batch)
    const closed = (): never => {
      throw closedError('completion queue')
    }
    this.#driver = drive?.({ handle, columns, batch, closed })
    if (this.#driver) {
      const { poll } = this.#driver
      this.#pollDevice = poll
      Object.defineProperty(this, 'poll', { value: poll })
      return
    }
    const compile = ownCopy<(parts: CompletionParts) => CompletionPolls>(
      new URL('./hot/completion-queue.cjs', import.meta.url),
    )
    const mailbox = cells(2)
    const { poll, pollDevice } = compile({
      control: columns.subarray(completionColumns * batch),
      // Never handed out: closing the queue unmaps the memory behind it, and the mailbox then says so.
      device: new Uint32Array(ring ?? new ArrayBuffer(0)),
      ring: native.verbs.pollBell(handle, mailbox),
      mailbox,
      plain: plainAccess,
      closedStatus,
      fail: (status) => {
        if (status === closedStatus) return closed()
        if (status === handedOverStatus) throw this.#direct()
        throw new VerbsError(-status, 'ibv_poll_cq')
      },
      QueueControl,
      RxeRing,
    })
    this.#pollDevice = pollDevice
    Object.defineProperty(this, 'poll', { value: poll })
  }

  /** @internal */
  static create(
    context: Context,
    contextHandle: number,
    entries: number,
    batch: number,
    stamped: boolean,
    place?: CompletionRingPlace,
  ): CompletionQueue {
    const words = completionColumns * batch + queueControlWords + (stamped ? 2 * batch : 0)
    const columns = new Uint32Array(new SharedArrayBuffer(words * 4))
    const over = (sizes: { entries: number }, memory?: Uint8Array<SharedArrayBuffer>) =>
      native.verbs.createCompletionQueue(
        contextHandle,
        sizes.entries,
        batch,
        columns,
        stamped,
        place?.domain,
        memory,
        place?.card,
      )
    const make = (sizes: { entries: number }) =>
      place ? place.rings((memory) => over(sizes, memory)) : over(sizes)
    const made = orLargest({ entries }, [['entries', 1]], make, Kind.CompletionQueue, 'ibv_create_cq')
    let queue: CompletionQueue
    try {
      queue = new CompletionQueue(context, made, batch, columns, place?.drive)
    } catch (error) {
      native.close(made.handle, Kind.CompletionQueue)
      throw error
    }
    queue.#unreadable = place !== undefined && place.card.format !== 0
    context.adopt(made.handle, queue)
    return queue
  }

  /** The completion channel has an event of this queue. @internal */
  static ready(handle: number): void {
    const queue = sleeping.get(handle)
    if (queue) queue.#wake()
    else watchers.get(handle)?.()
  }

  /**
   * Calls `watcher` at each event of this queue, on which nobody may wait meanwhile.
   *
   * @returns the handle that the binding arms, and the function that ends the watch
   * @internal
   */
  watch(watcher: () => void): { handle: number; stop: () => void } {
    watchers.set(this.#handle, watcher)
    return { handle: this.#handle, stop: () => watchers.delete(this.#handle) }
  }

  /**
   * From here on somebody else reads the device's ring: polls and waits throw ERR_IBVERBS_DIRECT.
   *
   * @throws Error ERR_IBVERBS_DIRECT at the second time, ERR_IBVERBS_BUSY during a wait
   * @internal
   */
  handOver(): void {
    this.#assertNobodyWaits()
    if (this.#driver) throw drivenError('completion queue')
    this.#handedOver = true
    this.watch(() => this.#unseen++)
  }

  /**
   * Of a queue that was handed over: the next event, or one that came since the last call.
   *
   * @internal
   */
  async nextEvent(options?: WaitOptions): Promise<void> {
    const signal = waitSignal(options)
    signal?.throwIfAborted()
    this.assertOpen()
    if (this.#waiter.pending) throw busyError('somebody waits on this completion queue already')
    if (this.#unseen > 0) this.#unseen--
    else await this.#waiter.start(signal)
  }

  /** Whether this package's own driver reads the ring. @internal */
  get driven(): boolean {
    return this.#driver !== undefined
  }

  /** Entries that no queue pair has reserved. */
  get freeEntries(): number {
    this.assertOpen()
    return native.verbs.freeCredits(this.#handle)
  }

  /**
   * Polls; if the queue is empty, sleeps on the completion channel until a completion arrives (ibv_get_cq_event(3)): no
   * thread, no spinning. One consumer at a time. A pending wait keeps the process alive: see {@link unref}.
   *
   * @returns how many rows of the columns are filled, at least 1
   * @throws Error ERR_IBVERBS_BUSY if another wait is pending, ERR_IBVERBS_CLOSED if the queue is closed
   */
  async wait(options?: CompletionWaitOptions): Promise<number> {
    const { signal: given, solicitedOnly = false } = optionsOf('options', options, completionWaitOptionNames)
    const signal = abortSignal('options.signal', given)
    boolean('options.solicitedOnly', solicitedOnly)
    signal?.throwIfAborted()
    this.#assertAlone()
    const count = this.#armAndPoll(solicitedOnly)
    if (count > 0) return count
    this.#solicitedOnly = solicitedOnly
    return this.#waiter.start(signal)
  }

  /**
   * Polls without sleeping for up to `microseconds`; timers, signals and I/O get their turn every 50 µs.
   *
   * @returns how many rows of the columns are filled; 0 if none came in that time
   * @throws Error ERR_IBVERBS_BUSY if another wait is pending
   */
  async spin(microseconds: number, options?: WaitOptions): Promise<number> {
    integer('microseconds', microseconds, 0, 0xffffffff)
    const signal = waitSignal(options)
    signal?.throwIfAborted()
    this.#assertAlone()
    this.#spinning = true
    try {
      const deadline = performance.now() + microseconds / 1000
      for (;;) {
        const left = (deadline - performance.now()) * 1000
        const count = this.#pollFor(Math.max(0, Math.min(spinSlice, Math.ceil(left))))
        if (count > 0 || left <= spinSlice) return count
        await new Promise((resolve) => setImmediate(resolve))
        signal?.throwIfAborted()
      }
    } finally {
      this.#spinning = false
    }
  }

  #pollFor(microseconds: number): number {
    if (!this.#driver) return native.verbs.pollFor(this.#handle, microseconds)
    const deadline = performance.now() + microseconds / 1000
    for (;;) {
      // The clock costs more than a poll.
      for (let i = 0; i < 64; i++) {
        const count = this.#pollDevice()
        if (count > 0) return count
      }
      if (performance.now() >= deadline) return 0
    }
  }

  /** Lets a pending {@link wait} keep the process alive (the default). */
  ref(): this {
    if (!this.#keepAlive && this.#waiter.pending) this.context.countWaiter(1)
    this.#keepAlive = true
    return this
  }

  /** Lets the process end while a {@link wait} is pending. */
  unref(): this {
    if (this.#keepAlive && this.#waiter.pending) this.context.countWaiter(-1)
    this.#keepAlive = false
    return this
  }

  /** Name of the status in row `i`, such as 'RNR_RETRY_EXC_ERR'. */
  statusName(i: number): CompletionStatusName {
    return nameOf(CompletionStatus, this.status[this.#row(i)])
  }

  /** Name of the opcode in row `i`, such as 'RECV'. */
  opcodeName(i: number): CompletionOpcodeName {
    return nameOf(CompletionOpcode, this.opcode[this.#row(i)])
  }

  /**
   * The usual cause of the status in row `i` and how to fix it, such as the access flag that the peer's region lacks;
   * '' where the name of the status says it all.
   */
  statusHint(i: number): string {
    return statusHint(this.statusName(i), this.opcodeName(i))
  }

  /** Source LID, service level and path bits of a UD receive, for the address vector of its sender. @internal */
  path(row: number): number {
    return this.#path[row]
  }

  #row(i: number): number {
    return integer('i', i, 0, this.batch - 1)
  }

  #assertAlone(): void {
    this.#assertNobodyWaits()
    if (this.#unreadable) throw this.#direct()
  }

  #direct(): Error {
    if (this.#handedOver) return directError('completion queue')
    return compressedError()
  }

  #assertNobodyWaits(): void {
    this.assertOpen()
    if (this.#handedOver) throw directError('completion queue')
    if (this.#waiter.pending || this.#spinning)
      throw busyError('somebody waits on this completion queue already')
  }

  // Arm, then poll once more: a completion from before the arming raises no event.
  #armAndPoll(solicitedOnly: boolean): number {
    const count = this.#pollDevice()
    if (count > 0) return count
    if (this.#driver) this.#driver.arm(solicitedOnly)
    else native.verbs.arm(this.#handle, solicitedOnly ? 1 : 0)
    return this.#pollDevice()
  }

  #wake(): void {
    if (!this.#waiter.pending) return
    if (this.#handedOver) {
      this.#waiter.resolve(0)
      return
    }
    try {
      const count = this.#armAndPoll(this.#solicitedOnly)
      if (count > 0) this.#waiter.resolve(count)
    } catch (error) {
      this.#waiter.reject(error)
    }
  }

  /** Drains the queue pairs of this queue ({@link QueuePair.drain}), then closes it and them. */
  override async [Symbol.asyncDispose](): Promise<void> {
    await this.context.drain((pair) => pair.sendCq === this || pair.receiveCq === this)
    this.close()
  }

  /** @internal */
  protected override describe(): Record<string, unknown> {
    return { entries: this.entries, batch: this.batch, closed: false }
  }
}
