/** What a queue pair has room for, as the device granted it (ibv_qp_cap, ibv_create_qp(3)). */
export interface QueuePairCapabilities {
  /** Send requests that may be outstanding. */
  maxSendWr: number
  /** Receive requests that may be outstanding. */
  maxReceiveWr: number
  /** Scatter/gather elements of a send. */
  maxSendSge: number
  /** Scatter/gather elements of a receive. */
  maxReceiveSge: number
  /** Bytes that can be sent inline. */
  maxInline: number
}
