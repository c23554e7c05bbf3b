// The rate of this machine's TSC, which the guest counts too when it is emulated.
// Learnt from the first VM that calibrates it well (init.sh) and valid until the
// machine boots again.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cache } from './image.mjs'

const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()
const file = join(cache, 'tsc')

/** In kHz; undefined when it is not known yet. */
export function tscRate() {
  try {
    const [of, khz] = readFileSync(file, 'utf8').split('\n')
    return of === boot && Number(khz) > 0 ? Number(khz) : undefined
  } catch {
    return undefined
  }
}

export const rememberRate = (khz) => writeFileSync(file, `${boot}\n${khz}\n`)
