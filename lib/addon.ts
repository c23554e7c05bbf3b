/** Finds the addon and loads it. Whatever stands in the way is an error that names it and says how to fix it. */
import { closeSync, openSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * An Error with code ERR_IBVERBS_ADDON: the addon cannot be loaded.
 *
 * @param remedy the last sentence of the message, and a property of the error, for `ibverbs doctor`
 */
export function loadError(why: string, remedy: string, cause?: unknown): Error {
  const error = new Error(`ibverbs: ${why}. ${remedy}`, cause === undefined ? undefined : { cause })
  Object.defineProperty(error, 'remedy', { value: remedy })
  return Object.assign(error, { code: 'ERR_IBVERBS_ADDON' })
}

/**
 * The addon's file. node-gyp-build looks in build/Release and then in prebuilds/, of the package or of the folder that
 * IBVERBS_PREBUILD names.
 */
export function locateAddon(): string {
  assertRuntime()
  const root = packageFolder()
  try {
    const locator = createRequire(import.meta.url)('node-gyp-build') as { resolve(folder: string): string }
    return locator.resolve(root)
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'MODULE_NOT_FOUND') {
      throw loadError(
        'node-gyp-build, which finds the addon, is not installed',
        'Install it: npm install',
        cause,
      )
    }
    if (code === 'ERR_ACCESS_DENIED' || !mayRead(root)) {
      throw notReadable(cause)
    }
    const machine = `${process.platform}-${process.arch} (${isMusl() ? 'musl' : 'glibc'})`
    throw loadError(`no addon for ${machine} in ${root}`, howToBuild(root), cause)
  }
}

/** The exports of the addon's file. */
export function requireAddon(file: string): unknown {
  try {
    return file.includes('$') ? byDescriptor(file) : createRequire(import.meta.url)(file)
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    if (code === 'ERR_DLOPEN_DISABLED') {
      const remedy = permission() ? 'Add --allow-addons beside --permission' : 'Leave out --no-addons'
      throw loadError('this process may not load addons', remedy, cause)
    }
    throw loadError(message, howToBuild(packageFolder()), cause)
  }
}

/** dlopen(3) would expand `$LIB` and the like in a path (ld.so(8)); the file's descriptor has a path without them. */
function byDescriptor(file: string): unknown {
  const module = { exports: {} }
  const descriptor = openSync(file, 'r')
  try {
    process.dlopen(module, `/proc/self/fd/${descriptor}`)
  } finally {
    closeSync(descriptor)
  }
  return module.exports
}

/** Refuses runtimes and platforms on which no build of the addon works. */
function assertRuntime(): void {
  const { bun, deno } = process.versions as { bun?: string; deno?: string }
  // Seen with Bun 1.4.5 (a panic in uv_poll_init) and Deno 2.9.6 (a double free when the process ends).
  const runtime = bun
    ? `Bun ${bun} lacks what an addon waits with (libuv's uv_poll) and ends the process where it is used`
    : deno
      ? `Deno ${deno} crashes when a process that has loaded this addon ends`
      : undefined
  if (runtime !== undefined) {
    throw loadError(runtime, 'Run this with Node.js; headers, flows, captures and Pacer work here, too')
  }
  if (process.platform !== 'linux') {
    throw loadError(
      `Linux only: devices, interfaces and queues are those of its kernel, and this is ${process.platform}`,
      'Run this in a Linux container or virtual machine; headers, flows, captures and Pacer work here, too',
    )
  }
}

/**
 * The package's own folder: the parent of dist/, in which this file lies.
 *
 * @throws Error if a bundler has moved this file away from its addon
 */
function packageFolder(): string {
  try {
    const folder = dirname(dirname(fileURLToPath(import.meta.url)))
    const { name } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { name?: string }
    if (name === 'ibverbs') return folder
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_ACCESS_DENIED') throw notReadable(error)
    // no such file, or no URL at all (in a CommonJS bundle)
  }
  throw loadError(
    'the addon is not beside this code, which a bundler has moved',
    "Leave ibverbs external (esbuild: --external:ibverbs; Rollup, Vite: external: ['ibverbs']; webpack: externals) " +
      'and install it where the bundle runs',
  )
}

function notReadable(cause: unknown): Error {
  return loadError(
    "Node's permission model does not let this process look for the addon",
    'Add --allow-fs-read for the folders of ibverbs and node-gyp-build (node_modules/*)',
    cause,
  )
}

/** One command that works in a checkout and in an installed package, which has no devDependencies. */
function howToBuild(root: string): string {
  return (
    `Build it with: npx --yes --package cmake-js@8 --package node-addon-api@8 cmake-js compile --directory '${root}' ` +
    `(needs g++, make, cmake and headers; on Debian: apt-get install g++ make cmake libibverbs-dev librdmacm-dev libuv1-dev)`
  )
}

/** Whether this process may look for the addon. */
function mayRead(folder: string): boolean {
  return permission()?.has('fs.read', folder) ?? true
}

/** Node's permission model, where it is in force. */
function permission(): { has(scope: string, reference?: string): boolean } | undefined {
  return (process as { permission?: { has(scope: string, reference?: string): boolean } }).permission
}

function isMusl(): boolean {
  const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined
  return report?.header?.glibcVersionRuntime === undefined
}
