import type { Fanout } from './af-packet/fanout.js'

/** The backends of a `PacketQueue`. */
export type PacketBackend = 'af_packet' | 'af_xdp' | 'raw_packet_qp' | 'mlx5'

/** How received frames leave the kernel: through a ring that it shares with JavaScript, or by a system call. */
export type ReceivePath = 'ring' | 'recvmmsg'

/** The backend that a queue uses, and why not another. */
export interface BackendReport {
  readonly backend: PacketBackend
  /** Whether frames move between the device and the arena without a copy. */
  readonly zeroCopy: boolean
  /**
   * How received frames leave the kernel; null for a queue that only transmits, and for a raw packet queue pair (of
   * 'mlx5' too), whose frames bypass the kernel.
   */
  readonly receivePath: ReceivePath | null
  /**
   * Where AF_XDP's program runs: in the driver ('native'), or after the kernel has made an sk_buff of the frame
   * ('generic'). Null without a program: AF_PACKET, and AF_XDP that only transmits.
   */
  readonly mode: 'native' | 'generic' | null
  /**
   * Whether a frame may lie in several of AF_XDP's buffers (jumbo frames); false for AF_PACKET, which does not need it.
   */
  readonly multiBuffer: boolean
  /**
   * Whether AF_XDP queues of this process over the same frames share one locked registration of the arena
   * (XDP_SHARED_UMEM); false when it was registered for this queue alone, and for the other backends.
   */
  readonly sharedMemory: boolean
  /** The device's receive queue that AF_XDP uses, or 'all'; null for the other backends, which use none. */
  readonly queueId: number | 'all' | null
  /** How many receive queues the device has in use (ethtool -l); 0 where its driver does not report it. */
  readonly queues: number
  /** The queue's fanout group of AF_PACKET queues, if any. */
  readonly fanout: Fanout | null
  /**
   * The metadata of a received frame that this backend does not tell, when this occurs, and what ends it. Empty for
   * AF_PACKET and for a raw packet queue pair; for AF_XDP's, {@link PacketQueue.inspect} finds it in the frame's own
   * headers.
   */
  readonly untold: readonly { readonly what: string; readonly when: string; readonly ends: string }[]
  /** How received frames share buffers (option `striding`), if they do. */
  readonly striding: StridingReport | null
  /** Whether the interface has a carrier at this moment: without one it neither sends nor receives. */
  readonly carrier: boolean
  /** Better choices that did not work, with the reason. */
  readonly notUsed: readonly { readonly what: string; readonly why: string }[]
}

/** Buffers that received frames share. */
export interface StridingReport {
  /** Bytes of a frame's place, a stride, and places of a buffer. */
  readonly strideBytes: number
  readonly strides: number
  /** Buffers of the pool. */
  readonly buffers: number
  /** Received frames that were copied, because kept ones held a quarter of the buffers back. */
  readonly copied: number
}

/** The part of the report that is fixed when the queue opens. */
export type WayReport = Omit<BackendReport, 'carrier' | 'striding'>
