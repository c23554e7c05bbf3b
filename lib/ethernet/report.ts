import type { Fanout } from './af-packet/fanout.js'

/** The ways to a device that a `PacketQueue` has. */
export type PacketBackend = 'af_packet' | 'af_xdp' | 'raw_packet_qp'

/** How received frames come out of the kernel: by a ring that it shares with JavaScript, or by a system call. */
export type ReceivePath = 'ring' | 'recvmmsg'

/** Which way to the device a queue took, and why not another. */
export interface BackendReport {
  readonly backend: PacketBackend
  /** Whether frames move between the device and the arena without a copy. */
  readonly zeroCopy: boolean
  /**
   * How received frames come out of the kernel; null for a queue that only transmits, and for a raw packet queue pair,
   * whose frames do not come through the kernel.
   */
  readonly receivePath: ReceivePath | null
  /**
   * Where AF_XDP's program runs: in the driver ('native'), or after the kernel has made a packet of the frame
   * ('generic'). Null without a program: AF_PACKET, and AF_XDP that only transmits.
   */
  readonly mode: 'native' | 'generic' | null
  /** Whether a frame may lie in several of AF_XDP's buffers (jumbo frames); false for AF_PACKET, which needs it not. */
  readonly multiBuffer: boolean
  /**
   * Whether the arena is locked and known to the kernel once, together with other AF_XDP queues of this process over the
   * same frames (XDP_SHARED_UMEM), or was registered for this queue; false for the others.
   */
  readonly sharedMemory: boolean
  /** The receive queue of the device that AF_XDP has, or 'all'; null for the others, which have none of the kernel's. */
  readonly queueId: number | 'all' | null
  /** How many receive queues the device has in use (ethtool -l); 0 where its driver does not tell. */
  readonly queues: number
  /** The group of AF_PACKET queues that it shares its frames with, if any. */
  readonly fanout: Fanout | null
  /**
   * What of a received frame this backend does not tell, when that can be, and what ends it. With AF_PACKET nothing, and with
   * a raw packet queue pair; for AF_XDP's see {@link PacketQueue.inspect}, which finds it in the frame's own headers.
   */
  readonly untold: readonly { readonly what: string; readonly when: string; readonly ends: string }[]
  /** Whether the interface has a carrier at this moment: without one nothing goes out, nor comes. */
  readonly carrier: boolean
  /** What was better and did not work, with the reason. */
  readonly notUsed: readonly { readonly what: string; readonly why: string }[]
}

/** What a backend knows of that when it was opened. */
export type WayReport = Omit<BackendReport, 'carrier'>
