import { integer, options as optionsOf, uint32 } from '../argument.js'
import { busyError } from '../errors.js'
import { NativeHandle } from '../handle.js'
import { Kind, native } from '../native.js'
import { type WaitOptions, waitSignal } from '../wait-options.js'
import { Waiter } from '../waiter.js'
import type { GidEntry } from './address/gid.js'
import { type AsyncEvent, asyncEvent } from './async-event.js'
import {
  CompletionQueue,
  type CompletionQueueOptions,
  completionQueueOptionNames,
} from './completion-queue.js'
import {
  AtomicCapabilities,
  GidTypes,
  LinkLayers,
  mtuBytes,
  nameOf,
  PhysicalStates,
  PortStates,
  RawPacketCapabilities,
  type RawPacketCapability,
} from './constants.js'
import type { DeviceAttributes, PortAttributes } from './device-attributes.js'
import { ProtectionDomain } from './protection-domain.js'
import { QueuePair } from './queue-pair/queue-pair.js'

/** Events that nobody has asked for yet are kept, up to this many; then the oldest goes. */
const eventBacklog = 1024

/** So that an event finds its context without keeping it alive. */
const contexts = new Map<number, WeakRef<Context>>()

/** A context that nothing reaches any more takes its device with it, and all that was opened on it. */
const unreachable = new FinalizationRegistry<number>((handle) => {
  contexts.delete(handle)
  native.close(handle, Kind.Context)
})

/** Whether the addon knows whom to tell of completions and events; asked when a context is opened. */
let dispatching = false

function dispatch(): void {
  if (dispatching) return
  native.verbs.setDispatch(
    (queue) => CompletionQueue.ready(queue),
    (context, type, subject) => contexts.get(context)?.deref()?.deliverEvent(type, subject),
  )
  dispatching = true
}

/**
 * An open RDMA device (ibv_open_device(3)). Closing it closes everything that was made from it; so does the end of
 * the process or of the worker, and so does the garbage collector when nothing made from it is reachable any more.
 * One context belongs to one thread.
 */
export class Context extends NativeHandle {
  /** The device's name. */
  readonly name: string
  readonly #handle: number
  readonly #events: AsyncEvent[] = []
  readonly #eventWaiter = new Waiter<AsyncEvent>(this, 'context', {
    started: () => this.#referenceEvents(),
    stopped: () => this.#referenceEvents(),
  })
  #completionWaiters = 0
  #attributes: DeviceAttributes | undefined
  #keepAlive = true
  /** Hears of each asynchronous event before whoever waits for it. @internal */
  onEvent: ((event: AsyncEvent) => void) | undefined
  /** Objects by handle, for events; weak, because a child holds its parent and not the other way. */
  readonly #children = new Map<number, WeakRef<object>>()

  private constructor(handle: number, name: string) {
    super(handle, Kind.Context, 'context')
    this.#handle = handle
    this.name = name
    dispatch()
    contexts.set(handle, new WeakRef(this))
    unreachable.register(this, handle, this)
  }

  /** @internal */
  static of(handle: number, name: string): Context {
    return new Context(handle, name)
  }

  override close(): void {
    super.close()
    // Its number may be another context's, a million contexts later.
    unreachable.unregister(this)
    contexts.delete(this.#handle)
  }

  /** Number of ports; they count from 1. */
  get portCount(): number {
    return this.#cachedAttributes().physPortCnt
  }

  /** ibv_query_device_ex(3). */
  queryDevice(): DeviceAttributes {
    this.assertOpen()
    const attributes = native.verbs.queryDevice(this.#handle)
    const { rawPacketCaps } = attributes.extended
    const names = Object.keys(RawPacketCapabilities) as RawPacketCapability[]
    return {
      ...attributes,
      atomicCap: nameOf(AtomicCapabilities, attributes.atomicCap),
      rawPacketCapabilities: names.filter((name) => rawPacketCaps & RawPacketCapabilities[name]),
    }
  }

  /**
   * ibv_query_port(3).
   *
   * @param port from 1
   */
  queryPort(port = 1): PortAttributes {
    this.assertOpen()
    integer('port', port, 1, this.portCount)
    const attributes = native.verbs.queryPort(this.#handle, port)
    return {
      ...attributes,
      state: nameOf(PortStates, attributes.state),
      physicalState: nameOf(PhysicalStates, attributes.physicalState),
      linkLayer: nameOf(LinkLayers, attributes.linkLayer),
      maxMtu: mtuBytes(attributes.maxMtu),
      activeMtu: mtuBytes(attributes.activeMtu),
    }
  }

  /**
   * ibv_query_pkey(3).
   *
   * @returns the partition key, in host order
   */
  queryPkey(port: number, index: number): number {
    this.assertOpen()
    integer('port', port, 1, this.portCount)
    integer('index', index, 0, 0xffff)
    return native.verbs.queryPkey(this.#handle, port, index)
  }

  /** The valid entries of all ports' GID tables (ibv_query_gid_table(3)). */
  queryGidTable(): GidEntry[] {
    this.assertOpen()
    return native.verbs
      .queryGidTable(this.#handle)
      .map((entry) => ({ ...entry, type: nameOf(GidTypes, entry.type) }))
  }

  /** ibv_alloc_pd(3). */
  allocateProtectionDomain(): ProtectionDomain {
    this.assertOpen()
    return ProtectionDomain.of(native.verbs.allocateProtectionDomain(this.#handle), this)
  }

  /**
   * ibv_create_cq(3). Queue pairs take their places from it when they are created, so that it cannot overrun: it
   * needs as many entries as their maxSendWr and maxReceiveWr together.
   *
   * @param entries places; the device may give more
   */
  createCompletionQueue(entries: number, options?: CompletionQueueOptions): CompletionQueue {
    this.assertOpen()
    integer('entries', entries, 1, this.limits.maxCqe)
    const { batch = 64 } = optionsOf('options', options, completionQueueOptionNames)
    integer('options.batch', batch, 1, 1 << 20)
    return CompletionQueue.create(this, this.#handle, entries, batch)
  }

  /**
   * The next asynchronous event. Events are kept from the moment the context is open, so none is missed between two
   * calls. One caller at a time.
   *
   * @throws Error ERR_IBVERBS_BUSY when somebody waits already
   */
  async nextEvent(options?: WaitOptions): Promise<AsyncEvent> {
    const signal = waitSignal(options)
    signal?.throwIfAborted()
    this.assertOpen()
    if (this.#eventWaiter.pending) throw busyError('somebody waits for an event of this context already')
    return this.#events.shift() ?? this.#eventWaiter.start(signal)
  }

  /** All asynchronous events, for as long as they are asked for; ends when the context is closed. */
  async *events(options?: WaitOptions): AsyncGenerator<AsyncEvent, void, void> {
    while (!this.closed) {
      try {
        yield await this.nextEvent(options)
      } catch (error) {
        if (this.closed && (error as { code?: string }).code === 'ERR_IBVERBS_CLOSED') return
        throw error
      }
    }
  }

  /** Lets a pending {@link nextEvent} keep the process alive (the default). */
  ref(): this {
    this.#keepAlive = true
    this.#referenceEvents()
    return this
  }

  /** Lets the process end although somebody waits for an event. */
  unref(): this {
    this.#keepAlive = false
    this.#referenceEvents()
    return this
  }

  #referenceEvents(): void {
    if (this.closed) return
    native.verbs.referenceEvents(this.#handle, this.#keepAlive && this.#eventWaiter.pending)
  }

  /** Device attributes as they were at the first look: limits do not change. @internal */
  #cachedAttributes(): DeviceAttributes {
    this.#attributes ??= this.queryDevice()
    return this.#attributes
  }

  /** @internal */
  get limits(): DeviceAttributes {
    return this.#cachedAttributes()
  }

  /** One more, or one fewer, waits for a completion and keeps the process alive. @internal */
  countWaiter(change: 1 | -1): void {
    this.#completionWaiters += change
    if (!this.closed) native.verbs.referenceCompletions(this.#handle, this.#completionWaiters > 0)
  }

  /** @internal */
  adopt(handle: number, child: object): void {
    // Handles are reused late, so what is dead here is swept only now and then.
    if (this.#children.size > 4096) {
      for (const [id, reference] of this.#children) if (!reference.deref()) this.#children.delete(id)
    }
    this.#children.set(handle, new WeakRef(child))
  }

  /** Drains the queue pairs that `chosen` says. @internal */
  async drain(chosen: (pair: QueuePair) => boolean): Promise<void> {
    const children = [...this.#children.values()].map((reference) => reference.deref())
    for (const child of children) {
      if (child instanceof QueuePair && !child.closed && chosen(child)) await child.drain()
    }
  }

  /** Drains all queue pairs ({@link QueuePair.drain}), then closes. */
  override async [Symbol.asyncDispose](): Promise<void> {
    await this.drain(() => true)
    this.close()
  }

  /** @internal */
  deliverEvent(type: number, subject: number): void {
    const event = asyncEvent(uint32('type', type), subject, (handle) => this.#children.get(handle)?.deref())
    this.onEvent?.(event)
    if (this.#eventWaiter.pending) {
      this.#eventWaiter.resolve(event)
    } else {
      if (this.#events.length === eventBacklog) this.#events.shift()
      this.#events.push(event)
    }
  }

  /** @internal */
  protected override describe(): Record<string, unknown> {
    return { name: this.name, closed: false }
  }
}
