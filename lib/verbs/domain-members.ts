import { cells } from '../ring/ring.js'

/** A memory region as it was registered: no property of an object that a user can replace. @internal */
export interface RegisteredMemory {
  lkey: number
  address: bigint
  bytes: Uint8Array<SharedArrayBuffer>
  writable: boolean
}

/**
 * What requests may name in a protection domain: its memory regions and address handles, by handle.
 *
 * @internal
 */
export class DomainMembers {
  /** One word: how many members were closed. Who keeps what it found here looks whether the word has changed. */
  readonly closings = cells(1)
  readonly #regions = new Map<number, RegisteredMemory>()
  readonly #addressHandles = new Set<number>()

  addRegion(handle: number, memory: RegisteredMemory): void {
    this.#regions.set(handle, memory)
  }

  region(handle: number): RegisteredMemory | undefined {
    return this.#regions.get(handle)
  }

  addAddressHandle(handle: number): void {
    this.#addressHandles.add(handle)
  }

  hasAddressHandle(handle: number): boolean {
    return this.#addressHandles.has(handle)
  }

  /** A member was closed. */
  closed(handle: number): void {
    if (this.#regions.delete(handle) || this.#addressHandles.delete(handle)) this.closings[0]++
  }
}
