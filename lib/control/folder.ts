/** The folder of a user's control sockets, which nobody else may enter. */
import { lstatSync, mkdirSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { codeOf, controlError } from './error.js'

/** Linux only: there is one. */
export const user = (): number => process.geteuid?.() ?? -1

/** XDG_RUNTIME_DIR, where it is one of the user's own: under sudo it may still be another's. */
function runtimeFolder(): string | undefined {
  const { XDG_RUNTIME_DIR: folder } = process.env
  if (folder === undefined || !isAbsolute(folder)) return undefined
  try {
    const status = lstatSync(folder)
    return status.isDirectory() && status.uid === user() ? folder : undefined
  } catch {
    return undefined
  }
}

/** Where the sockets may be: programs of one user may have been started with XDG_RUNTIME_DIR and without. */
function candidates(): string[] {
  const runtime = runtimeFolder()
  const common = `/tmp/ibverbs-${user()}`
  return runtime === undefined ? [common] : [join(runtime, 'ibverbs'), common]
}

/** Anybody may create a folder of this name in /tmp, and wait for what is put there. */
function assertOwn(folder: string): void {
  const status = lstatSync(folder)
  const refuse = (why: string): never => {
    throw controlError(
      `${folder} ${why}: control sockets must be in a folder that is the user's own. Remove it, or set XDG_RUNTIME_DIR`,
    )
  }
  if (status.isSymbolicLink()) refuse('is a symbolic link')
  if (!status.isDirectory()) refuse('is no folder')
  if (status.uid !== user()) refuse(`belongs to user ${status.uid}`)
  const mode = status.mode & 0o777
  if ((mode & 0o077) !== 0) refuse(`may be entered by others (mode ${mode.toString(8)}, not 700)`)
}

/**
 * The folder for sockets of this process, made where it is missing.
 *
 * @throws Error ERR_IBVERBS_CONTROL when it is not the user's own; the error of mkdir(2)
 */
export function ownFolder(): string {
  const [folder] = candidates()
  try {
    mkdirSync(folder, { mode: 0o700 })
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error
  }
  assertOwn(folder)
  return folder
}

/**
 * The folders in which there may be sockets.
 *
 * @throws Error ERR_IBVERBS_CONTROL when one of them is not the user's own
 */
export function foldersThere(): string[] {
  return candidates().filter((folder) => {
    try {
      assertOwn(folder)
      return true
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return false
      throw error
    }
  })
}
