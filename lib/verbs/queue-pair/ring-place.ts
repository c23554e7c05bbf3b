import type { RingPlace } from '../ring-place.js'
import type { DriveQueuePair } from './driver.js'

/**
 * Where a queue pair's rings shall lie, and what mlx5dv_create_qp(3) is asked for: 0 is the usual.
 *
 * @internal
 */
export interface QueuePairRingPlace {
  rings: RingPlace
  /** `cardFlags`: mlx5dv_qp_create_flags; `flags`: ibv_qp_create_flags; `maxTsoHeader`: bytes. */
  card: { cardFlags: number; flags: number; maxTsoHeader: number }
  /** Who drives the rings, if not libibverbs. */
  drive?: DriveQueuePair
}
