import type { WaitOptions } from '../wait-options.js'

/** One of a device's rings, as it lies in memory. Fields are big-endian, as DataView's calls are by default. */
export interface DirectRing {
  /** All of it. */
  readonly bytes: Uint8Array<SharedArrayBuffer>
  /** The same bytes. */
  readonly view: DataView<SharedArrayBuffer>
  /** Bytes from one entry to the next. */
  readonly stride: number
  /** Entries: a power of two. */
  readonly count: number
  /** The doorbell record's word: how far the program has come. Big-endian, which an Int32Array is not. */
  readonly record: Int32Array<SharedArrayBuffer>
}

/** A queue pair whose rings are the caller's. */
export interface DirectQueuePair {
  /** In units of 64 bytes (MLX5_SEND_WQE_BB). */
  readonly send: DirectRing
  /**
   * Empty where the queue pair has a shared receive queue or none. Of RC and UC a message of up to 32 bytes (64 with CQEs
   * of 128 bytes) comes in its completion, and not in the memory that a receive names, unless the environment has
   * MLX5_SCATTER_TO_CQE=0 (mlx5dv(7)).
   */
  readonly receive: DirectRing
  /** Number of the queue pair. */
  readonly number: number
  /** Bytes of half the register: so many of a request can be copied there. 0: none, eight bytes only. */
  readonly blueFlame: number
  /**
   * Tells the device of sends, in the order that it must have: the requests are visible, then the doorbell record, then
   * the register. One native call a batch.
   *
   * @param producer counter of 64-byte blocks behind the last request, modulo 2¹⁶
   * @param last counter of the last request's first block, modulo 2¹⁶
   * @param copied of a request alone in its batch, whose data are inline: its bytes, rounded up to 64, at most
   *   {@link blueFlame}. They are written to the register, which saves the device a read (BlueFlame)
   * @throws Error ERR_IBVERBS_CLOSED
   */
  ringSend(producer: number, last: number, copied?: number): void
  /** Tells the device of receives: their counter, modulo 2¹⁶. Only memory is written. */
  publishReceives(producer: number): void
}

/**
 * A work queue whose ring is the caller's. A request is a list of data segments; of a striding queue it begins with a next
 * segment (layout.nextSegment).
 */
export interface DirectWorkQueue extends DirectRing {
  /** Number of the work queue. */
  readonly number: number
  /** Tells the device of requests: their counter, modulo 2¹⁶. Only memory is written. */
  publishReceives(producer: number): void
}

/** A completion queue whose ring is the caller's. */
export interface DirectCompletionQueue extends DirectRing {
  /** Number of the completion queue. */
  readonly number: number
  /** Tells the device which entries may be overwritten: how many were taken so far, modulo 2²⁴. Only memory is written. */
  setConsumerIndex(index: number): void
  /**
   * Asks for an event at the next completion, or the next that is solicited or failed: the arm record, then the register.
   * {@link event} waits for it.
   *
   * @param sequence one more with each event that was taken, modulo 4
   * @param index as in {@link setConsumerIndex}
   * @throws Error ERR_IBVERBS_CLOSED
   */
  arm(sequence: number, index: number, solicitedOnly?: boolean): void
  /**
   * Resolves at the next event of this queue (ibv_get_cq_event(3)), or at once if one has come since the last call: one for
   * each arming, at most. Keeps the process alive, as `wait` does.
   *
   * @throws Error ERR_IBVERBS_BUSY if another call is pending, ERR_IBVERBS_CLOSED
   */
  event(options?: WaitOptions): Promise<void>
}
