import type { DriveCompletionQueue } from './completion-driver.js'

/**
 * Where a device's own rings shall lie, if not where its provider puts them.
 *
 * `make` creates the object over the given memory; `lacking` says that this is too small: so many bytes are needed at
 * least. The function returns what `make` returned over memory that was large enough.
 *
 * @internal
 */
export type RingPlace = <T extends { handle: number; lacking?: number }>(
  make: (memory: Uint8Array<SharedArrayBuffer>) => T,
) => T

/**
 * Where a completion queue's ring shall lie, and what mlx5dv_create_cq(3) is asked for: 0 is the usual.
 *
 * @internal
 */
export interface CompletionRingPlace {
  domain: number
  rings: RingPlace
  /** `format` is one of mlx5dv_cqe_comp_res_format: completions are compressed. */
  card: { entryBytes: number; format: number; padded: number }
  /** Who reads the ring, if not libibverbs. */
  drive?: DriveCompletionQueue
}
