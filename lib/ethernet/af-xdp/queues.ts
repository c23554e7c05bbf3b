/** AF_XDP on all receive queues of a device: a socket for each, and one `PacketQueue` over them. */

import type { Batch } from '../batch.js'
import { tableOf } from '../frames.js'
import { refuseClosed } from '../hot/common.js'
import { queueCount } from '../interface/channels.js'
import type { Link } from '../interface/link.js'
import { type Port, type ReceiveCounts, type ReceivingEnd, unlimited } from '../port.js'
import type { QueueParts } from '../queue-parts.js'
import { Receiver } from '../receiver.js'
import type { WayReport } from '../report.js'
import type { Settings } from '../settings.js'
import type { PortStatistics } from '../statistics.js'
import { Transmitter } from '../transmitter.js'
import type { Way } from '../way.js'
import { AfXdp } from './port.js'

export function openXdpQueues(link: Link, settings: Settings, queue: QueueParts): Way {
  const { slots } = tableOf(queue.frames)
  const count = Math.max(1, queueCount(link.interface.name))
  const target = Math.max(1, Math.floor(settings.receiveFrames.af_xdp / count))
  const sockets: AfXdp[] = []
  // Each of the other queues has a holder of its own.
  const holders: number[] = []
  const port = new XdpQueues(sockets, () => {
    for (const other of holders.slice(1)) slots.detach(other)
  })
  const receivers: Receiver[] = []
  try {
    for (let queueId = 0; queueId < count; queueId++) {
      const socket = new AfXdp(link, settings, queueId, target, queue.onEvent, sockets[0])
      sockets.push(socket)
      holders.push(queueId === 0 ? queue.holder : slots.attach())
      receivers.push(new Receiver(socket, link, queue, holders[queueId], target))
    }
    const way = {
      port,
      receiver: new Receivers(receivers, queue),
      transmitter: new Transmitter(sockets[0], link, queue),
    }
    for (const socket of sockets) socket.start()
    return way
  } catch (error) {
    port.close()
    slots.freeAll(queue.holder)
    throw error
  }
}

/**
 * The sockets as one port. It sends through the first socket and exposes its rings: a device sends alike from every
 * queue, but frames arrive on all of them, and each must get a fair share of the looks.
 */
class XdpQueues implements Port {
  readonly name = 'af_xdp'
  readonly #sockets: readonly AfXdp[]
  readonly #detach: () => void

  /** @param detach frees the frames of all queues but the first */
  constructor(sockets: readonly AfXdp[], detach: () => void) {
    this.#sockets = sockets
    this.#detach = detach
  }

  readonly describes = false
  readonly scarce = unlimited
  readonly completesOnKick = false
  readonly failing = false

  get zeroCopy(): boolean {
    return this.#sockets.every(({ zeroCopy }) => zeroCopy)
  }

  get takesAll(): boolean {
    return this.#sockets[0].takesAll
  }

  get chunkSize(): number {
    return this.#sockets[0].chunkSize
  }

  get longest(): Int32Array {
    return this.#sockets[0].longest
  }

  get attention(): Int32Array {
    return this.#sockets[0].attention
  }

  get dropped(): number {
    return this.#sockets[0].dropped
  }

  get report(): WayReport {
    return Object.freeze({ ...this.#sockets[0].report, zeroCopy: this.zeroCopy, queueId: 'all' })
  }

  get syscalls() {
    return this.#sockets[0].syscalls
  }

  get fill() {
    return this.#sockets[0].fill
  }

  get receive() {
    return this.#sockets[0].receive
  }

  get transmit() {
    return this.#sockets[0].transmit
  }

  get completion() {
    return this.#sockets[0].completion
  }

  poll(): number {
    return this.#sockets[0].poll()
  }

  kick(): number {
    return this.#sockets[0].kick()
  }

  arm(readable: boolean, writable: boolean, referenced: boolean): void {
    for (const [i, socket] of this.#sockets.entries()) {
      if (readable || (writable && i === 0)) socket.arm(readable, writable && i === 0, referenced)
      else socket.disarm()
    }
  }

  disarm(): void {
    for (const socket of this.#sockets) socket.disarm()
  }

  promiscuous(on: boolean): void {
    for (const socket of this.#sockets) socket.promiscuous(on)
  }

  joinGroup(group: Uint8Array): void {
    for (const socket of this.#sockets) socket.joinGroup(group)
  }

  leaveGroup(group: Uint8Array): void {
    for (const socket of this.#sockets) socket.leaveGroup(group)
  }

  statistics({ received, truncated }: ReceiveCounts): PortStatistics {
    const none: ReceiveCounts = { received: 0, truncated: 0, unwanted: 0 }
    const sum = this.#sockets.map((socket) => socket.statistics(none)).reduce(add)
    return { ...sum, received: sum.received + received, truncated }
  }

  bufferSizes(): { receive: number; send: number } {
    const sizes = this.#sockets.map((socket) => socket.bufferSizes())
    return { receive: sizes.reduce((sum, { receive }) => sum + receive, 0), send: sizes[0].send }
  }

  close(): void {
    for (const socket of this.#sockets) socket.close()
    this.#detach()
  }
}

/** Adds the numbers of two objects of the same shape. */
function add<T extends object>(a: T, b: T): T {
  const sum: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(a)) {
    const other = b[key as keyof T] as unknown
    sum[key] = typeof value === 'number' ? value + (other as number) : add(value, other as object)
  }
  return sum as T
}

/**
 * The receiving halves as one. Each batch begins with the queue after the one that began the last batch, so that no
 * queue waits for more batches than there are queues.
 */
class Receivers implements ReceivingEnd {
  readonly copied = 0
  readonly #receivers: readonly Receiver[]
  readonly #batch: Batch
  readonly #closed: Int32Array
  #first = 0
  /** the next receive() throws it */
  #error: unknown
  readonly unwanted = 0

  constructor(receivers: readonly Receiver[], { batch, closed }: QueueParts) {
    this.#receivers = receivers
    this.#batch = batch
    this.#closed = closed
  }

  get invalid(): number {
    return this.#receivers.reduce((sum, { invalid }) => sum + invalid, 0)
  }

  get received(): number {
    return this.#receivers.reduce((sum, { received }) => sum + received, 0)
  }

  get truncated(): number {
    return this.#receivers.reduce((sum, { truncated }) => sum + truncated, 0)
  }

  ready(): number {
    const most = this.#batch.slots.length
    let count = 0
    for (let i = 0; i < this.#receivers.length && count < most; i++) count += this.#receivers[i].ready()
    return Math.min(count, most)
  }

  awaitable(): number {
    const count = this.ready()
    if (count > 0 || !this.#receivers.every(({ starved }) => starved)) return count
    return this.#receivers[0].awaitable()
  }

  readonly receive = (): number => {
    if (this.#closed[0] !== 0) refuseClosed()
    const batch = this.#batch
    batch.count[0] = 0
    const error = this.#error
    if (error) {
      this.#error = undefined
      throw error
    }
    const receivers = this.#receivers
    const first = this.#first
    let count = 0
    for (let i = 0; i < receivers.length && count < batch.slots.length; i++) {
      const at = first + i
      try {
        count += receivers[at < receivers.length ? at : at - receivers.length].take(count)
      } catch (error) {
        // The frames of the other queues already belong to the caller.
        if (count === 0) throw error
        this.#error = error
        break
      }
    }
    this.#first = first + 1 < receivers.length ? first + 1 : 0
    batch.count[0] = count
    return count
  }
}
