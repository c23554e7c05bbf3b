import { integer, typeError } from '../argument.js'

/**
 * Throws the error of a call's columns, or of the count of their elements that it is to use.
 *
 * @param name of the second column
 */
export function columnError(slots: unknown, count: unknown, name = '', others?: unknown): never {
  if (!(slots instanceof Int32Array)) throw typeError('slots', 'an Int32Array', slots)
  if (name !== '' && !(others instanceof Uint32Array)) throw typeError(name, 'a Uint32Array', others)
  integer(
    'count',
    count,
    0,
    Math.min(slots.length, others instanceof Uint32Array ? others.length : slots.length),
  )
  throw new Error('unreachable')
}
