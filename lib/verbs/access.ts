import { typeError } from '../argument.js'
import { type Access, AccessFlag } from './constants.js'

/** ibv_access_flags from their names. @internal */
export function accessFlags(name: string, access: readonly Access[]): number {
  if (!Array.isArray(access)) throw typeError(name, 'an array of access flags', access)
  let flags = 0
  for (const flag of access as Access[]) {
    if (typeof flag !== 'string' || !Object.hasOwn(AccessFlag, flag)) {
      throw typeError(name, `made of ${Object.keys(AccessFlag).join(', ')}`, flag)
    }
    flags |= AccessFlag[flag]
  }
  return flags
}
