import { ownCopy, plainAccess } from '../hot/own-copy.js'
import type { RecordParts } from './hot/parts.js'

/** A function that writes a word of a doorbell record; the device takes the bits of `mask`. */
export function recordSetter(record: Int32Array, mask: number): (index: number) => void {
  const compile = ownCopy<(parts: RecordParts) => (index: number) => void>(
    new URL('./hot/record.cjs', import.meta.url),
  )
  return compile({ plain: plainAccess, record, mask, DataView })
}

/** Of MLX5_CQ_SET_CI, and of MLX5_RCV_DBR. */
export const consumerMask = 0xffffff
export const receiveMask = 0xffff
