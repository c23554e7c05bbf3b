/** A path for a shared library that LD_PRELOAD can contain. */
import { existsSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'

/** Spaces and colons separate the parts of LD_PRELOAD, and `$` begins one of ld.so(8)'s dynamic string tokens. */
const unfit = /[\s:$]/

const prefix = 'ibverbs-preload-'

/** A file under a path that LD_PRELOAD accepts, until it is removed. */
export interface Preload {
  readonly path: string
  remove(): void
}

/**
 * The file itself if its path contains no separator; else a link to it in a temporary folder, which must exist for as long
 * as the program starts others.
 *
 * @throws Error if no temporary folder has a suitable path either
 */
export function preloadable(file: string): Preload {
  if (!unfit.test(file)) return { path: file, remove() {} }
  const parent = [tmpdir(), '/tmp', '/var/tmp'].find((folder) => !unfit.test(folder) && existsSync(folder))
  if (parent === undefined) {
    throw new Error(
      `${file}: LD_PRELOAD takes no path with a space, ':' or '$', and no temporary folder avoids them`,
    )
  }
  sweep(parent)
  const folder = mkdtempSync(join(parent, `${prefix}${process.pid}-`))
  const path = join(folder, basename(file))
  symlinkSync(file, path)
  return { path, remove: () => rmSync(folder, { recursive: true, force: true }) }
}

/** Removes the folders of processes that were killed: their names contain the process id. */
function sweep(parent: string): void {
  for (const name of readdirSync(parent)) {
    const process = new RegExp(`^${prefix}(\\d+)-`).exec(name)?.[1]
    if (process === undefined || existsSync(`/proc/${process}`)) continue
    try {
      rmSync(join(parent, name), { recursive: true, force: true })
    } catch {
      // owned by another user
    }
  }
}
