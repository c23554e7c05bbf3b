/** A name for a shared library that LD_PRELOAD can have. */
import { existsSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'

/** LD_PRELOAD is a list whose parts spaces and colons separate, and in which `$` begins a word of ld.so(8). */
const unfit = /[\s:$]/

const prefix = 'ibverbs-preload-'

/** A file under a name that LD_PRELOAD takes, until it is removed. */
export interface Preload {
  readonly path: string
  remove(): void
}

/**
 * The file itself where its path has nothing that separates a list; else a link to it in a folder of our own, which has
 * to be there for as long as the program starts others.
 *
 * @throws Error where no temporary folder has such a path either
 */
export function preloadable(file: string): Preload {
  if (!unfit.test(file)) return { path: file, remove() {} }
  const parent = [tmpdir(), '/tmp', '/var/tmp'].find((folder) => !unfit.test(folder) && existsSync(folder))
  if (parent === undefined) {
    throw new Error(
      `${file}: LD_PRELOAD takes no path with a space, ':' or '$', and no temporary folder is without`,
    )
  }
  sweep(parent)
  const folder = mkdtempSync(join(parent, `${prefix}${process.pid}-`))
  const path = join(folder, basename(file))
  symlinkSync(file, path)
  return { path, remove: () => rmSync(folder, { recursive: true, force: true }) }
}

/** What is left of those that were killed: their folders have their numbers. */
function sweep(parent: string): void {
  for (const name of readdirSync(parent)) {
    const process = new RegExp(`^${prefix}(\\d+)-`).exec(name)?.[1]
    if (process === undefined || existsSync(`/proc/${process}`)) continue
    try {
      rmSync(join(parent, name), { recursive: true, force: true })
    } catch {
      // another user's
    }
  }
}
