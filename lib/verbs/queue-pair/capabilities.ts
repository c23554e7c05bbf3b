/** The sizes of a queue pair that the device granted (ibv_qp_cap, ibv_create_qp(3)). */
export interface QueuePairCapabilities {
  /** Maximum number of outstanding send requests. */
  maxSendWr: number
  /** Maximum number of outstanding receive requests. */
  maxReceiveWr: number
  /** Scatter/gather elements of a send. */
  maxSendSge: number
  /** Scatter/gather elements of a receive. */
  maxReceiveSge: number
  /** Maximum bytes of an inline send. */
  maxInline: number
}
