/** The shared library of the software ConnectX, which lies beside the addon under the same name. */
import { existsSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { locateAddon } from '../addon.js'
import { verbsError } from '../errors.js'
import { native } from '../native.js'

/**
 * The file of the shared library, for LD_PRELOAD: with it, and with IBVERBS_SOFT set, any program that uses libibverbs
 * finds the software devices.
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

/** Opens it in this process; harmless the second time. */
export function loadSoftLibrary(): void {
  native.soft.load(softLibraryPath())
}

/**
 * With IBVERBS_SOFT set the devices that it asks for are there when libibverbs looks for devices.
 *
 * @throws VerbsError EINVAL for a value that makes no sense, and whatever else keeps its devices from being made
 * @internal
 */
export function softFromEnvironment(): void {
  if (!process.env.IBVERBS_SOFT) return
  loadSoftLibrary()
  native.soft.environment()
}
