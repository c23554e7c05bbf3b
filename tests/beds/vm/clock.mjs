// The rate of this machine's TSC, which an emulated guest counts too. The first VM that calibrates it well (init.sh) reports
// it, and it is valid until the machine boots again.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cache } from './image.mjs'

const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()
const file = join(cache, 'tsc')

/** In kHz; undefined until it is known. */
export function tscRate() {
  try {
    const [of, khz] = readFileSync(file, 'utf8').split('\n')
    return of === boot && Number(khz) > 0 ? Number(khz) : undefined
  } catch {
    return undefined
  }
}

export const rememberRate = (khz) => writeFileSync(file, `${boot}\n${khz}\n`)
