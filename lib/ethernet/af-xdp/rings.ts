import type { Consumer, Producer } from '../../ring/ring.js'

/** XDP_PKT_CONTD, linux/if_xdp.h: the frame goes on in the next descriptor. */
export const DescriptorOption = { continued: 1 } as const

/**
 * The four rings of an AF_XDP queue and their doorbells: what {@link XdpReceiver} and {@link XdpTransmitter} work on.
 *
 * {@link AfXdp} is the kernel's. Another one over plain memory (`allocateRing`, and a Producer or Consumer with the
 * layout that is its default) is a queue without a kernel: `bench/ethernet/ring-cost.ts` measures JavaScript's own cost
 * so, by `queueOver(pool, batch, port)` of packet-queue.ts. Whoever plays the kernel there owns the rings' other ends: a
 * Consumer of `fill` and `transmit`, a Producer of `receive` and `completion` over the same words.
 */
export interface XdpPort {
  /** records: AddressRecord, the offset in the arena of a frame to receive into */
  readonly fill: Producer
  /** records: DescriptorRecord */
  readonly receive: Consumer
  readonly transmit: Producer
  readonly completion: Consumer
  /** Bytes of one of the kernel's buffers: a longer frame takes several. A power of two, at most the frame size. */
  readonly chunkSize: number
  /** Largest payload that the interface takes at this moment. */
  readonly mtu: number
  /** In zero-copy mode the transmit ring is the device's: what is in it counts as accepted. */
  readonly zeroCopy: boolean
  /** Frames that were received; {@link XdpReceiver} counts. */
  received: number
  /** Of these, those that were cut. */
  truncated: number
  /** Frames that the device dropped when they were handed to it: taken out of the ring, completed, and not sent. */
  readonly dropped: number
  /** Who is to blame in an error of {@link poll} and of {@link kick}. */
  readonly syscalls: { readonly receive: string; readonly transmit: string }
  /** Called when `receive` is empty: how many descriptors it has then, or a negative errno. */
  poll(): number
  /** The transmit ring's doorbell: 0, or the negative errno that stopped the kernel. */
  kick(): number
}
