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
 * Where a completion queue's ring shall lie, and in which format of mlx5dv_cqe_comp_res_format its completions are
 * compressed, if they are.
 *
 * @internal
 */
export interface CompletionRingPlace {
  domain: number
  rings: RingPlace
  format?: number
}
