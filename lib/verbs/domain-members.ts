import type { NativeHandle } from '../handle.js'
import { cells } from '../ring/ring.js'

/**
 * What requests may name in a protection domain: its memory regions and address handles, by handle.
 *
 * @internal
 */
export class DomainMembers {
  /** One word: how many members were closed. Who keeps what it found here looks whether the word has changed. */
  readonly closings = cells(1)
  readonly #members = new Map<number, NativeHandle>()

  add(handle: number, member: NativeHandle): void {
    this.#members.set(handle, member)
  }

  get(handle: number): NativeHandle | undefined {
    return this.#members.get(handle)
  }

  /** Forgets a member if it is closed. */
  closed(handle: number, member: NativeHandle): void {
    if (!member.closed || !this.#members.delete(handle)) return
    this.closings[0]++
  }
}
