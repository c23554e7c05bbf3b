/** Columns of the last batch: frame `i` is `slots[i]`, at `offsets[i]`, and so on. The next receive() overwrites them. */
export interface ReceivedColumns {
  readonly slots: Int32Array<SharedArrayBuffer>
  /** Where each frame begins in the arena, in bytes. */
  readonly offsets: Uint32Array<SharedArrayBuffer>
  /** Bytes of each frame in memory, as `length(slot)`. */
  readonly lengths: Uint32Array<SharedArrayBuffer>
  /** FrameFlag bits. */
  readonly flags: Uint8Array<SharedArrayBuffer>
}

/**
 * The calls that a queue makes for each batch and each frame. Each queue has a compiled copy of its own, which V8
 * optimizes during the queue's first hundred thousand frames.
 *
 * A function that serves several queues in turn should use the calls for many frames, {@link releaseMany}, {@link
 * claimMany}, {@link sendMany} and {@link forwardMany}, with the columns of `columns`: there a call for each frame costs
 * twice as much as where a place in the program serves one queue (bench/ethernet/ring-cost.ts).
 */
export interface QueueCalls {
  /**
   * Takes the received frames, at most `batch`, without waiting: one native call, or none if `wait()` has already
   * fetched them. Their slots are `slot(0)` to `slot(n - 1)` until the next call, and the columns of `columns` hold what
   * is mostly asked of them; each belongs to the caller until it is given back.
   *
   * @returns the number of frames; also 0 when the caller holds all frames and none is free to receive into
   * @throws VerbsError ENETDOWN, ENODEV when the interface went down or disappeared
   */
  receive(): number

  /** The slot of frame `i` of the last batch. */
  slot(i: number): number

  /** Where the frame begins in `memory`, in bytes. */
  offset(slot: number): number

  /**
   * Bytes of the frame in memory, from its destination address on, without the frame check sequence; 0 for a claimed
   * frame.
   */
  length(slot: number): number

  /** FrameFlag bits of a received frame. */
  flags(slot: number): number

  /**
   * Gives a slot back: its frame is free.
   *
   * @throws Error ERR_IBVERBS_STALE_SLOT
   */
  release(slot: number): void

  /**
   * {@link release}, of the first `count` of `slots`.
   *
   * @throws Error ERR_IBVERBS_STALE_SLOT for the first slot that is not the caller's; those before it are then given
   *   back. TypeError, RangeError
   */
  releaseMany(slots: Int32Array, count: number): void

  /** Takes a free frame to write into, from `offset(slot)` on; −1 when there is none. */
  claim(): number

  /**
   * Takes up to `count` free frames: their slots go to `slots`, and where they begin in `memory` to `offsets`.
   *
   * @returns how many
   * @throws TypeError, RangeError
   */
  claimMany(slots: Int32Array, offsets: Uint32Array, count: number): number

  /**
   * Sends the caller's frame, claimed or received, on the next {@link submit}.
   *
   * @param length bytes from the destination address on, without the frame check sequence: at least the 14 of the
   *   header
   * @param offset where in `memory` the frame begins; default `offset(slot)`
   * @throws Error ERR_IBVERBS_STALE_SLOT, RangeError for a frame that is too short or exceeds its place in the arena
   */
  send(slot: number, length: number, offset?: number): void

  /**
   * {@link send}, of the first `count` of `slots`, each with its length in `lengths`.
   *
   * @throws the errors of send(), for the first frame that has one; those before it are then sent
   */
  sendMany(slots: Int32Array, lengths: Uint32Array, count: number): void

  /**
   * Sends a received frame out again, from the same memory, on the next {@link submit}. Another queue with the same
   * `frames` sends it on its own interface. The frame leaves as it would on a wire: with its `vlan` tag put back, a
   * partial checksum completed, and a super-frame cut into its segments where the peer does not take it whole. The
   * kernel does all of that for AF_PACKET; AF_XDP refuses super-frames (EMSGSIZE). {@link send} sends the bytes as they
   * lie in memory.
   *
   * @throws Error ERR_IBVERBS_STALE_SLOT
   */
  forward(slot: number): void

  /**
   * {@link forward}, of the first `count` of `slots`.
   *
   * @throws Error ERR_IBVERBS_STALE_SLOT for the first slot that is not the caller's; those before it are then sent
   */
  forwardMany(slots: Int32Array, count: number): void

  /**
   * Hands the sent frames to the kernel, in one native call and without waiting.
   *
   * An accepted frame is free again. A frame that is itself refused (too long for the interface) is freed and counted,
   * and ends the call: `error` gives the reason. The frames after it, and those that the kernel has no room for, stay
   * pending for the next call. A frame that the interface's queueing discipline does not take in a second, 20 calls and
   * more, although no frame of this queue is before it there, is refused too (AF_PACKET: ENOBUFS). All frames stay
   * pending while the interface is down or has no carrier, which is an error (ENETDOWN). A frame that a device drops
   * after the hand-over (AF_XDP: EBUSY) counts as refused and is no error.
   *
   * @returns how many frames the kernel accepted
   */
  submit(): number
}
