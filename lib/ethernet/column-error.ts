import { types } from 'node:util'
import { integer, typeError } from '../argument.js'

const { isInt32Array, isUint32Array } = types

/**
 * Throws the error of a call's columns, or of the count of their elements that it is to use.
 *
 * @param name of the second column
 */
export function columnError(slots: unknown, count: unknown, name = '', others?: unknown): never {
  if (!isInt32Array(slots)) throw typeError('slots', 'an Int32Array', slots)
  if (name !== '' && !isUint32Array(others)) throw typeError(name, 'a Uint32Array', others)
  integer('count', count, 0, Math.min(slots.length, isUint32Array(others) ? others.length : slots.length))
  throw new Error('unreachable')
}
