/**
 * Why frames that were for the queue never reached `receive()`:
 *
 * - `receiveBufferFull`: nobody read, and the socket's buffer (`receiveBuffer`) was full. AF_PACKET by recvmmsg.
 * - `receiveRingFull`: nobody read, and the ring that the kernel writes to was full. AF_PACKET by a ring, AF_XDP.
 * - `fillRingEmpty`: the kernel had no frame to write to: nobody read, or all were the caller's. AF_XDP.
 * - `undescribed`: a super-frame of a kind that the kernel has no words for (no VIRTIO_NET_HDR_GSO_*), such as SCTP's.
 *   AF_PACKET by recvmmsg; by a ring they are among `receiveRingFull`.
 * - `other`: what the kernel drops for reasons that it does not tell apart, such as a frame that is too long. AF_XDP.
 */
export type DropCause = 'receiveBufferFull' | 'receiveRingFull' | 'fillRingEmpty' | 'undescribed' | 'other'

/** The kernel's own counters of an AF_XDP socket (XDP_STATISTICS, struct xdp_statistics in linux/if_xdp.h). */
export interface XdpStatistics {
  /** rx_dropped: frames for the socket that were dropped, {@link fillRingEmpty} among them, {@link receiveRingFull} not */
  dropped: number
  /** rx_invalid_descs: what was wrong in the receive ring, to which the kernel alone writes; of the fill ring it has none */
  receiveInvalid: number
  /** tx_invalid_descs: descriptors in the transmit ring that named no place in the arena */
  transmitInvalid: number
  /** rx_ring_full: frames that were dropped because the receive ring was full */
  receiveRingFull: number
  /** rx_fill_ring_empty_descs: how often the kernel looked for a frame to write to and found none */
  fillRingEmpty: number
  /** tx_ring_empty_descs: how often the kernel looked for a frame to send and found none */
  transmitRingEmpty: number
}

/** What a port counts, since it was opened. */
export interface PortStatistics {
  /** queued for us by the kernel */
  received: number
  /** received, and longer than its place in the arena */
  truncated: number
  /** the causes that this port knows, also those that did not occur */
  drops: Partial<Record<DropCause, number>>
  /** of AF_XDP, the kernel's own */
  xdp?: XdpStatistics
}

/** Counters since the queue was opened, in frames. */
export interface PacketStatistics {
  /** queued for us by the kernel */
  received: number
  /** for us, and dropped by the kernel: the sum of {@link drops} */
  dropped: number
  /** {@link dropped} by cause; the causes that the queue's backend knows, also those that did not occur */
  drops: Partial<Record<DropCause, number>>
  /** received, and longer than its place in the arena ({@link FrameFlag.truncated}) */
  truncated: number
  /** accepted by the kernel for transmission */
  transmitted: number
  /** refused for their own sake, such as too long ones, and freed: the sum of {@link refusals} */
  refused: number
  /** {@link refused} by the error that the kernel gave, such as `{ EMSGSIZE: 2 }` */
  refusals: Readonly<Record<string, number>>
  /** ring records that named no frame of this queue: somebody wrote into the rings */
  invalid: number
  /** of AF_XDP: the kernel's own counters, the sum over the queue's sockets */
  xdp?: Readonly<XdpStatistics>
}

/** The sum of the causes. */
export function sumOf(causes: Readonly<Record<string, number>>): number {
  let sum = 0
  for (const count of Object.values(causes)) sum += count
  return sum
}
