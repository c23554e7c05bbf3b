import { boolean, integer, options as optionsOf, uint32 } from '../argument.js'
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
import type { CompletionRingPlace } from './ring-place.js'

/** Maximum number of events that a context keeps until somebody asks for them; beyond it, the oldest is dropped. */
const eventBacklog = 1024

/** Contexts by handle, for events; weak, so that this map keeps none alive. */
const contexts = new Map<number, WeakRef<Context>>()

/** Closes the device of a context that is no longer reachable, and all that was opened on it. */
const unreachable = new FinalizationRegistry<number>((handle) => {
  contexts.delete(handle)
  native.close(handle, Kind.Context)
})

/** Whether the addon has the callbacks for completions and events; the first context sets them. */
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
 * An open RDMA device (ibv_open_device(3)). Closing it closes everything that was made from it. So does the end of the
 * process or of the worker, and so does the garbage collector once neither the context nor anything made from it is
 * reachable. A context belongs to one thread.
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
  /** Called with each asynchronous event, before {@link nextEvent} returns it. @internal */
  onEvent: ((event: AsyncEvent) => void) | undefined
  /** Objects by handle, for events; weak, because a child holds its parent, not its parent the child. */
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
    // Another context may have the same number, a million contexts later.
    unreachable.unregister(this)
    contexts.delete(this.#handle)
  }

  /** Number of ports; port numbers start at 1. */
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
   * ibv_create_cq(3). Each queue pair reserves its entries when it is created, so that the queue cannot overrun: it
   * needs as many entries as the maxSendWr and maxReceiveWr of its queue pairs together.
   *
   * @param entries entries to ask for; the device may grant more
   */
  createCompletionQueue(entries: number, options?: CompletionQueueOptions): CompletionQueue {
    return this.createCompletionQueueAt(undefined, entries, options)
  }

  /** {@link createCompletionQueue}, with the device's ring where `place` says. @internal */
  createCompletionQueueAt(
    place: CompletionRingPlace | undefined,
    entries: number,
    options: CompletionQueueOptions | undefined,
  ): CompletionQueue {
    this.assertOpen()
    integer('entries', entries, 1, this.limits.maxCqe)
    const { batch = 64, timestamps = false } = optionsOf('options', options, completionQueueOptionNames)
    integer('options.batch', batch, 1, 1 << 20)
    boolean('options.timestamps', timestamps)
    return CompletionQueue.create(this, this.#handle, entries, batch, timestamps, place)
  }

  /**
   * The next asynchronous event. The context keeps events from the moment it is open, so none is missed between two
   * calls (the oldest of more than 1024 are dropped). One caller at a time.
   *
   * @throws Error ERR_IBVERBS_BUSY if another call is pending
   */
  async nextEvent(options?: WaitOptions): Promise<AsyncEvent> {
    const signal = waitSignal(options)
    signal?.throwIfAborted()
    this.assertOpen()
    if (this.#eventWaiter.pending) throw busyError('somebody waits for an event of this context already')
    return this.#events.shift() ?? this.#eventWaiter.start(signal)
  }

  /** All asynchronous events, one after the other; ends when the context is closed. */
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

  /** Lets the process end while a {@link nextEvent} is pending. */
  unref(): this {
    this.#keepAlive = false
    this.#referenceEvents()
    return this
  }

  #referenceEvents(): void {
    if (this.closed) return
    native.verbs.referenceEvents(this.#handle, this.#keepAlive && this.#eventWaiter.pending)
  }

  /** Device attributes, queried once: limits do not change. @internal */
  #cachedAttributes(): DeviceAttributes {
    this.#attributes ??= this.queryDevice()
    return this.#attributes
  }

  /** @internal */
  get limits(): DeviceAttributes {
    return this.#cachedAttributes()
  }

  /** Counts the waits for completions: while there is one, it keeps the process alive. @internal */
  countWaiter(change: 1 | -1): void {
    this.#completionWaiters += change
    if (!this.closed) native.verbs.referenceCompletions(this.#handle, this.#completionWaiters > 0)
  }

  /** @internal */
  adopt(handle: number, child: object): void {
    // Handles are reused late, so dead entries may stay: they are swept only now and then.
    if (this.#children.size > 4096) {
      for (const [id, reference] of this.#children) if (!reference.deref()) this.#children.delete(id)
    }
    this.#children.set(handle, new WeakRef(child))
  }

  /** Drains the queue pairs for which `chosen` is true. @internal */
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
