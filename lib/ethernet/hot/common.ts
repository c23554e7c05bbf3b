import { types } from 'node:util'
import { closedError } from '../../errors.js'
import { mostSlot, PoolState } from '../../ring/slots.js'
import { brief, FrameRecord, type FrameTable } from '../frames.js'
import type { Parts } from './parts.js'

const { isInt32Array, isUint32Array } = types

/** What every hot file of a queue gets. */
export function commonParts(table: FrameTable, closed: Int32Array): Parts {
  return {
    table,
    closed,
    refuseClosed,
    brief,
    generationMask: mostSlot,
    PoolState,
    FrameRecord,
    isInt32Array,
    isUint32Array,
  }
}

/** Throws the error of a closed queue. */
export function refuseClosed(): never {
  throw closedError('packet queue')
}
