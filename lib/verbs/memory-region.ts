import { rangeError } from '../argument.js'
import { NativeHandle } from '../handle.js'
import { Kind, native } from '../native.js'
import type { Arena } from '../ring/arena.js'
import { accessFlags } from './access.js'
import { type Access, AccessFlag } from './constants.js'
import type { ProtectionDomain } from './protection-domain.js'
import type { RemoteMemory } from './remote-memory.js'

/** A registered memory region (ibv_reg_mr(3)). */
export class MemoryRegion extends NativeHandle {
  readonly domain: ProtectionDomain
  /** The memory: shared, and page-aligned where this package allocated it. It stays readable after close. */
  readonly bytes: Uint8Array<SharedArrayBuffer>
  readonly arena: Arena
  /** Key for local requests. */
  readonly lkey: number
  /** Key for requests of a peer. */
  readonly rkey: number
  /** Address of the first byte, as the device uses it: a remote address is this plus an offset. */
  readonly address: bigint
  /** ibv_access_flags in force, by name: without LOCAL_WRITE nothing can be received into the region. */
  readonly access: readonly Access[]
  readonly #handle: number

  private constructor(
    domain: ProtectionDomain,
    arena: Arena,
    access: readonly Access[],
    made: { handle: number; lkey: number; rkey: number; address: bigint },
  ) {
    super(made.handle, Kind.MemoryRegion, 'memory region')
    this.#handle = made.handle
    this.domain = domain
    this.arena = arena
    this.bytes = arena.bytes
    this.access = access
    this.lkey = made.lkey
    this.rkey = made.rkey
    this.address = made.address
    const writable = access.includes('LOCAL_WRITE')
    domain.members.addRegion(made.handle, { ...made, bytes: arena.bytes, writable })
  }

  /** @internal */
  static register(
    domain: ProtectionDomain,
    domainHandle: number,
    arena: Arena,
    access: readonly Access[] | undefined,
    fromPage = false,
  ): MemoryRegion {
    const names = access ?? defaultAccess
    const flags = accessFlags('options.access', names)
    // ibv_reg_mr(3) requires it; the kernel says only EINVAL.
    const writers = AccessFlag.REMOTE_WRITE | AccessFlag.REMOTE_ATOMIC
    if (flags & writers && !(flags & AccessFlag.LOCAL_WRITE)) {
      throw rangeError('options.access', 'with LOCAL_WRITE where a peer may write', names)
    }
    return new MemoryRegion(
      domain,
      arena,
      Object.freeze([...names]),
      native.verbs.registerMemory(domainHandle, arena.bytes, flags, fromPage),
    )
  }

  override close(): void {
    try {
      super.close()
    } finally {
      if (this.closed) this.domain.members.closed(this.#handle)
    }
  }

  /** Size in bytes. */
  get length(): number {
    return this.bytes.length
  }

  /** What to send to a peer that reads, writes or changes this region. */
  get remote(): RemoteMemory {
    return { version: 1, address: `0x${this.address.toString(16)}`, rkey: this.rkey, length: this.length }
  }

  /** @internal */
  protected override describe(): Record<string, unknown> {
    return { length: this.length, lkey: this.lkey, rkey: this.rkey, access: this.access, closed: false }
  }
}

const defaultAccess: readonly Access[] = ['LOCAL_WRITE']
