import type { Consumer, Producer } from '../ring/ring.js'
import type { PacketBackend } from './options.js'

/**
 * A way to a device: four rings of AF_XDP's vocabulary, and what rings the bell. A queue pushes free frames into `fill`
 * and takes them from `receive`; it pushes frames to send into `transmit` and takes them back from `completion`.
 */
export interface Backend {
  readonly name: PacketBackend
  /** Whether frames move between the device and the arena without a copy. */
  readonly zeroCopy: boolean
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
  /** Frames that the kernel queued for us, and that it dropped because the queue was full, since open. */
  statistics(): { received: number; dropped: number }
  /** Bytes of the kernel's queues, as the kernel accounts them. */
  bufferSizes(): { receive: number; send: number }
  close(): void
}
