import { inspect } from 'node:util'
import { aNamed, type ClassOf, typeError } from './argument.js'
import { closedError } from './errors.js'
import { type Kind, native } from './native.js'
import { rejectClosed } from './waiter.js'

let read: (handle: NativeHandle) => number
let isReal: (handle: object) => boolean

/**
 * An object of the binding, which knows it by a number. It is closed by close(), with its parent, or with the
 * environment. A child holds its parent; closing a parent closes its children first, newest first.
 */
export abstract class NativeHandle {
  readonly #id: number
  readonly #kind: Kind
  readonly #what: string

  /** @internal */
  protected constructor(id: number, kind: Kind, what: string) {
    this.#id = id
    this.#kind = kind
    this.#what = what
  }

  static {
    read = (handle) => handle.#id
    isReal = (handle) => #id in handle
  }

  /** Whether this handle, or a parent of it, was closed. */
  get closed(): boolean {
    return !native.isOpen(this.#id, this.#kind)
  }

  /**
   * Releases the object, and before it all its children. Closing twice is harmless.
   *
   * @throws VerbsError if the kernel refuses (EBUSY); the handle then stays open
   */
  close(): void {
    try {
      native.close(this.#id, this.#kind)
    } finally {
      rejectClosed() // children may be closed although the kernel refused the rest
    }
  }

  [Symbol.dispose](): void {
    this.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }

  /** What util.inspect shows besides `closed`. @internal */
  protected abstract describe(): Record<string, unknown>

  [inspect.custom](_depth: number, options: object): string {
    const shown = this.closed ? { closed: true } : this.describe()
    return `${this.constructor.name} ${inspect(shown, options)}`
  }

  /** Throws ERR_IBVERBS_CLOSED if the handle is closed. @internal */
  protected assertOpen(): void {
    if (this.closed) throw closedError(this.#what)
  }
}

/** The binding's number for a handle of the given class; a TypeError that names the argument for anything else. */
export function idOf<T extends NativeHandle>(name: string, handle: T, type: ClassOf<T>): number {
  // An object can have the prototype without having been constructed.
  if (!(handle instanceof type) || !isReal(handle)) throw typeError(name, aNamed(type.name), handle)
  if (handle.closed) throw closedError(name)
  return read(handle)
}
