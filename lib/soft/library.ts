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

/** How a program that {@link becomeProgram} starts is shown the software devices. */
export type SoftWay = 'auto' | 'mount' | 'preload'

/**
 * Replaces this process by a program that sees the software devices of IBVERBS_SOFT (execve(2)): process id, standard
 * streams, terminal and working directory remain, and exit code and signal are the program's.
 *
 * @throws VerbsError of execve(2)
 * @internal
 */
export function becomeProgram(
  program: readonly string[],
  { way, verbose, environment }: { way: SoftWay; verbose: boolean; environment: NodeJS.ProcessEnv },
): never {
  const variables = Object.entries(environment).map(([name, value]) => `${name}=${value}`)
  const library = softLibraryPath()
  return native.soft.become(library, [library, way, verbose ? '1' : '0', ...program], variables)
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
