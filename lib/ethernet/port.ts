import type { VerbsError } from '../errors.js'
import type { Consumer, Producer } from '../ring/ring.js'
import type { Device } from './interface/device.js'
import type { PacketBackend, WayReport } from './report.js'
import type { BackendStatistics } from './statistics.js'

/**
 * A way to a device: four rings of AF_XDP's vocabulary, and what rings the bell. A queue pushes free frames into `fill`
 * and takes them from `receive`; it pushes frames to send into `transmit` and takes them back from `completion`.
 */
export interface Backend {
  readonly name: PacketBackend
  /** Whether frames move between the device and the arena without a copy. */
  readonly zeroCopy: boolean
  readonly report: WayReport
  /** Who is to blame in an error of {@link poll} and of {@link kick}. */
  readonly syscalls: { readonly receive: string; readonly transmit: string }
  readonly fill: Producer
  readonly receive: Consumer
  readonly transmit: Producer
  readonly completion: Consumer

  /** Looks for frames: how many came into `receive`, or a negative errno. */
  poll(): number
  /** Sends what `transmit` holds: 0 when all was taken, or the negative errno that stopped it. */
  kick(): number
  /** Wake the queue once when there is something to receive, or room to send. */
  arm(readable: boolean, writable: boolean, referenced: boolean): void
  disarm(): void

  promiscuous(on: boolean): void
  joinGroup(group: Uint8Array): void
  leaveGroup(group: Uint8Array): void
  statistics(): BackendStatistics
  /** Bytes of the kernel's queues, as the kernel accounts them. */
  bufferSizes(): { receive: number; send: number }
  close(): void
}

/** The receiving half of a queue: who moves frames between the pool, the fill ring and the receive ring. */
export interface ReceivingEnd {
  /** Records in the receive ring that named no frame of ours. */
  readonly invalid: number
  /** Frames in the receive ring, after a look for more when it is empty. Throws what ails the interface. */
  ready(): number
  /** {@link ready}, or an error when no frame can ever come. */
  awaitable(): number
  receive(): number
  slot(i: number): number
}

/** The transmitting half of a queue: who moves frames between the pool, the transmit ring and the completion ring. */
export interface TransmittingEnd {
  /** What ended the last {@link submit} before all was accepted, and will not pass by itself. */
  readonly error: VerbsError | null
  /** The device's own queue had no room at the last {@link submit}: nobody tells when it has. */
  readonly congested: boolean
  /** Frames that were sent and not accepted. */
  readonly pending: number
  readonly transmitted: number
  /** Frames that were refused for their own sake, by the name of the error. */
  readonly refusals: Record<string, number>
  /** Records in the completion ring that named no frame of ours. */
  readonly invalid: number
  claim(): number
  send(slot: number, length: number): void
  /** {@link send}, of a frame that begins elsewhere than its record says */
  sendAt(slot: number, length: number, offset: number): void
  /**
   * {@link send}, of a frame whose checksum, VLAN tag or segments its record leaves to the kernel. Left out where the
   * kernel does nothing of that.
   */
  offload?(slot: number): void
  submit(): number
  close(): void
}

/** A way to the device, and the two halves of a queue on it. */
export interface Way {
  backend: Backend
  receiver: ReceivingEnd
  transmitter: TransmittingEnd
  /** What stands for the interface, where that is more than its link. */
  device?: Device
  /** Puts the device back as it was found, after the backend was closed. */
  restore?: () => void
}
