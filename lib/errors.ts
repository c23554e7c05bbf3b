import { constants } from 'node:os'
import { getSystemErrorName } from 'node:util'
import { remedy } from './remedy.js'

/**
 * A failed call into the kernel or rdma-core, in the convention of Node's own system errors: `code` is the name of the
 * errno (errno(3)), `errno` its negative number, `syscall` the function that reported it. The message says what was
 * wrong and, where that is known, how to fix it.
 */
export class VerbsError extends Error {
  /** Name of the errno, such as 'EINVAL'. */
  readonly code: string
  /** Negative errno, as in Node's system errors. */
  readonly errno: number
  /** The function that failed, such as 'ibv_modify_qp'. */
  readonly syscall: string
  /** Of a refused work request: the cookie that the caller gave to `post`. */
  declare cookie?: number

  /**
   * @param errno positive errno value
   * @param syscall the function that failed
   * @param detail what was wrong, where more is known than the errno
   */
  constructor(errno: number, syscall: string, detail = '') {
    const code = errorName(errno)
    const mend = remedy(code, syscall)
    super(`${code}: ${syscall}${detail ? `: ${detail}` : ''}${mend ? ` (${mend})` : ''}`)
    this.code = code
    this.errno = -errno
    this.syscall = syscall
  }

  static {
    VerbsError.prototype.name = 'VerbsError'
  }
}

/** A VerbsError made in TypeScript, by the errno's name. */
export function verbsError(code: keyof typeof constants.errno, syscall: string, detail: string): VerbsError {
  return new VerbsError(constants.errno[code], syscall, detail)
}

/** The use of a closed handle: an Error with code ERR_IBVERBS_CLOSED. */
export function closedError(what: string): Error {
  return Object.assign(new Error(`the ${what} is closed`), { code: 'ERR_IBVERBS_CLOSED' })
}

/**
 * The use of calls whose rings were handed over ({@link "ibverbs/mlx5".direct}): an Error with code ERR_IBVERBS_DIRECT.
 */
export function directError(what: string): Error {
  return Object.assign(
    new Error(
      `direct() handed over the rings of this ${what}: whoever took them drives it, and there is no way back`,
    ),
    { code: 'ERR_IBVERBS_DIRECT' },
  )
}

/** A {@link "ibverbs/mlx5".direct} of rings that this package's driver has. */
export function drivenError(what: string): Error {
  return Object.assign(
    new Error(`the driver of ibverbs/mlx5 has the rings of this ${what} since its creation`),
    { code: 'ERR_IBVERBS_DIRECT' },
  )
}

/** A poll of what only {@link directError}'s direct() can read. */
export function compressedError(): Error {
  return Object.assign(
    new Error(
      'the completions of this queue are compressed, which libibverbs cannot read: take its ring with direct()',
    ),
    { code: 'ERR_IBVERBS_DIRECT' },
  )
}

/** A second consumer where only one is allowed: an Error with code ERR_IBVERBS_BUSY. */
export function busyError(message: string): Error {
  return Object.assign(new Error(message), { code: 'ERR_IBVERBS_BUSY' })
}

function errorName(errno: number): string {
  try {
    const name = getSystemErrorName(-errno)
    // It knows only libuv's errors and returns "Unknown system error" for the rest of errno(3).
    if (!name.startsWith('Unknown')) return name
  } catch {
    // not an errno
  }
  for (const [name, value] of Object.entries(constants.errno)) if (value === errno) return name
  return `errno ${errno}`
}
