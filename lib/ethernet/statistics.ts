/**
 * Why frames for the queue never reached `receive()`:
 *
 * - `receiveBufferFull`: `receive()` came too late, and the socket's buffer (`receiveBuffer`) was full. AF_PACKET by
 *   recvmmsg.
 * - `receiveRingFull`: `receive()` came too late, and the ring that the kernel writes to was full. AF_PACKET by a ring,
 *   AF_XDP.
 * - `fillRingEmpty`: the kernel had no frame to write to: `receive()` came too late, or the caller held all frames.
 *   AF_XDP.
 * - `undescribed`: a super-frame of a kind that the kernel cannot describe (no VIRTIO_NET_HDR_GSO_*), such as SCTP's.
 *   AF_PACKET by recvmmsg; by a ring they are among `receiveRingFull`.
 * - `other`: drops whose reasons the kernel does not distinguish, such as a frame that is too long. AF_XDP.
 */
export type DropCause = 'receiveBufferFull' | 'receiveRingFull' | 'fillRingEmpty' | 'undescribed' | 'other'

/** The kernel's own counters of an AF_XDP socket (XDP_STATISTICS, struct xdp_statistics in linux/if_xdp.h). */
export interface XdpStatistics {
  /**
   * rx_dropped: frames for the socket that the kernel dropped, {@link fillRingEmpty} among them,
   * {@link receiveRingFull} not
   */
  dropped: number
  /** rx_invalid_descs: faults in the receive ring, to which the kernel alone writes; it counts none for the fill ring */
  receiveInvalid: number
  /** tx_invalid_descs: descriptors in the transmit ring that named no place in the arena */
  transmitInvalid: number
  /** rx_ring_full: frames dropped because the receive ring was full */
  receiveRingFull: number
  /** rx_fill_ring_empty_descs: how often the kernel looked for a frame to write to and found none */
  fillRingEmpty: number
  /** tx_ring_empty_descs: how often the kernel looked for a frame to send and found none */
  transmitRingEmpty: number
}

/** A port's counts since it was opened. */
export interface PortStatistics {
  /** queued by the kernel for this port */
  received: number
  /** received, and longer than its place in the arena */
  truncated: number
  /** the causes that this port counts, including those that did not occur */
  drops: Partial<Record<DropCause, number>>
  /** of AF_XDP, the kernel's own */
  xdp?: XdpStatistics
}

/** Counters since the queue was opened, in frames. */
export interface PacketStatistics {
  /** queued by the kernel for this queue */
  received: number
  /** for this queue, and dropped by the kernel: the sum of {@link drops} */
  dropped: number
  /** {@link dropped} by cause; the causes that the queue's backend counts, including those that did not occur */
  drops: Partial<Record<DropCause, number>>
  /** received, and longer than its place in the arena ({@link FrameFlag.truncated}) */
  truncated: number
  /** accepted by the kernel for transmission */
  transmitted: number
  /** refused (too long for the interface, for example), and freed: the sum of {@link refusals} */
  refused: number
  /** {@link refused} by the kernel's error, such as `{ EMSGSIZE: 2 }` */
  refusals: Readonly<Record<string, number>>
  /** ring records that named no frame of this queue: a sign of foreign writes to the rings */
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
