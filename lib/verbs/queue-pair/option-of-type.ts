import { typeError } from '../../argument.js'
import type { QueuePairType } from '../constants.js'

/** Throws for an option that a queue pair of this type has no use for: nothing that is asked for is passed over. */
export function assertOptionOfType(
  name: string,
  types: readonly QueuePairType[],
  type: QueuePairType,
  value: unknown,
): void {
  if (types.includes(type)) return
  throw typeError(
    `options.${name}`,
    `left out: a queue pair of type ${type} has none, only ${types.join(' and ')}`,
    value,
  )
}
