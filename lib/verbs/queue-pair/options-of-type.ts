import { typeError } from '../../argument.js'
import type { QueuePairType } from '../constants.js'

/**
 * Throws for an option that a queue pair of this type has no use for: nothing that is asked for is passed over.
 *
 * @param types the types of queue pair that have each option
 */
export function checkOptionsOfType<Name extends string>(
  options: Readonly<Partial<Record<NoInfer<Name>, unknown>>>,
  types: Readonly<Record<Name, readonly QueuePairType[]>>,
  type: QueuePairType,
): void {
  for (const name of Object.keys(types) as Name[]) {
    const value = options[name]
    if (value === undefined || types[name].includes(type)) continue
    throw typeError(
      `options.${name}`,
      `left out: a queue pair of type ${type} has none, only ${types[name].join(' and ')}`,
      value,
    )
  }
}
