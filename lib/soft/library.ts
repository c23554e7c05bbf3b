/** The shared library of the software ConnectX, which lies beside the addon and has a name to match. */
import { existsSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { locateAddon } from '../addon.js'
import { verbsError } from '../errors.js'
import { native } from '../native.js'

/**
 * Path of the shared library, for LD_PRELOAD: with it, and with IBVERBS_SOFT set, every program that uses libibverbs finds
 * the software devices.
 *
 * @throws VerbsError ENOENT when it was not built or not shipped
 */
export function softLibraryPath(): string {
  // ibverbs.node and libibverbs_soft.so; ibverbs.glibc.node and libibverbs_soft.glibc.so
  const addon = locateAddon()
  const name = basename(addon).replace(/^ibverbs(.*)\.node$/, 'libibverbs_soft$1.so')
  const file = join(dirname(addon), name)
  if (!existsSync(file)) {
    throw verbsError('ENOENT', 'dlopen', `${file}: 'npm run build:native' makes it beside the addon`)
  }
  return file
}

/** Loads it into this process; harmless the second time. */
export function loadSoftLibrary(): void {
  native.soft.load(softLibraryPath())
}

/**
 * Creates the devices of IBVERBS_SOFT, if it is set, before libibverbs looks for devices.
 *
 * @throws VerbsError EINVAL for an invalid value, and the error of any device that cannot be created
 * @internal
 */
export function softFromEnvironment(): void {
  if (!process.env.IBVERBS_SOFT) return
  loadSoftLibrary()
  native.soft.environment()
}
