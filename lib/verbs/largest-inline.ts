import { VerbsError, verbsError } from '../errors.js'
import { Kind, native } from '../native.js'
import type { NativeQueuePairResult } from './native.js'

/**
 * Makes a queue pair. No attribute of a device tells how much it can send inline, and one that cannot do what was
 * asked for says EINVAL only (ibv_create_qp(3)): then the largest size that works is looked for, by trying, and named.
 *
 * @param make creates a queue pair with the given maxInline
 */
export function orLargestInline(
  asked: number,
  make: (maxInline: number) => NativeQueuePairResult,
): NativeQueuePairResult {
  try {
    return make(asked)
  } catch (error) {
    if (asked === 0 || !(error instanceof VerbsError) || !sizeErrors.has(error.code)) throw error
    const works = (size: number) => {
      try {
        native.close(make(size).handle, Kind.QueuePair)
        return true
      } catch {
        return false
      }
    }
    if (!works(0)) throw error // it is something else
    let [low, high] = [0, asked]
    while (high - low > 1) {
      const middle = (low + high) >> 1
      if (works(middle)) low = middle
      else high = middle
    }
    throw verbsError('EINVAL', 'ibv_create_qp', `maxInline ${asked}: the largest that works here is ${low}`)
  }
}

const sizeErrors = new Set(['EINVAL', 'ENOMEM', 'ENOTSUP', 'EOPNOTSUPP'])
