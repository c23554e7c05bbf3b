import { boolean, type Names, options as optionsOf, rangeError, typeError } from '../argument.js'
import { NativeHandle } from '../handle.js'
import { Kind } from '../native.js'
import { Arena } from '../ring/arena.js'
import { AddressHandle, type ReceivedDatagram } from './address/address-handle.js'
import type { AddressVector } from './address/address-vector.js'
import type { Endpoint } from './address/endpoint.js'
import type { Access } from './constants.js'
import type { Context } from './context.js'
import { DomainMembers } from './domain-members.js'
import { MemoryRegion } from './memory-region.js'
import type { QueuePairOptions } from './queue-pair/options.js'
import { QueuePair } from './queue-pair/queue-pair.js'

/** Options of {@link ProtectionDomain.registerMemory}. */
export interface RegisterOptions {
  /**
   * The access flags of the region, exactly as for ibv_reg_mr(3), which always allows local reading. Default:
   * ['LOCAL_WRITE'], which receives and the results of reads and atomics need. `[]` is read-only, for sends and writes.
   * A peer has no access unless these flags grant it: ['REMOTE_READ'], ['LOCAL_WRITE', 'REMOTE_WRITE'], ['LOCAL_WRITE',
   * 'REMOTE_ATOMIC'].
   */
  access?: Access[]
  /** With a size: allocate the memory on huge pages (see {@link Arena.allocate}). Default false. */
  hugePages?: boolean
}
const registerOptionNames = { access: true, hugePages: true } as const satisfies Names<RegisterOptions>

/**
 * A protection domain (ibv_alloc_pd(3)): regions, queue pairs and address handles work together only within one domain.
 */
export class ProtectionDomain extends NativeHandle {
  readonly context: Context
  /** @internal */
  readonly members = new DomainMembers()
  readonly #handle: number

  private constructor(handle: number, context: Context) {
    super(handle, Kind.ProtectionDomain, 'protection domain')
    this.#handle = handle
    this.context = context
  }

  /** @internal */
  static of(handle: number, context: Context): ProtectionDomain {
    return new ProtectionDomain(handle, context)
  }

  /**
   * Registers memory with the device (ibv_reg_mr(3)).
   *
   * @param memory a size in bytes, for new page-aligned memory; an {@link Arena}; or a SharedArrayBuffer of the
   *   caller's own, or a Uint8Array over part of one
   * @throws VerbsError ENOMEM with the limit on locked memory, if that is too small
   */
  registerMemory(
    memory: number | Arena | SharedArrayBuffer | Uint8Array<SharedArrayBuffer>,
    options?: RegisterOptions,
  ): MemoryRegion {
    this.assertOpen()
    const arena = arenaOf(memory, options)
    if (arena.byteLength === 0) throw rangeError('memory', 'at least one byte', memory)
    return MemoryRegion.register(this, this.#handle, arena, options?.access)
  }

  /**
   * Registers memory so that the device's addresses are offsets from the page in which it begins (ibv_reg_mr_iova(3)): for
   * who writes the requests. `post` would take addresses.
   *
   * @internal
   */
  registerMemoryFromPage(arena: Arena, access: readonly Access[]): MemoryRegion {
    this.assertOpen()
    return MemoryRegion.register(this, this.#handle, arena, access, true)
  }

  /** Creates a queue pair (ibv_create_qp(3)): see {@link QueuePairOptions}. */
  createQueuePair(options: QueuePairOptions): QueuePair {
    this.assertOpen()
    return QueuePair.create(this, this.#handle, options)
  }

  /**
   * Creates an address handle (ibv_create_ah(3)), for UD. On RoCE the kernel resolves the neighbour meanwhile: one that
   * does not answer blocks this thread for a second or more.
   *
   * @param destination the peer's endpoint, an address vector, or a received datagram, whose sender a server answers
   *   with this handle (ibv_create_ah_from_wc(3))
   */
  createAddressHandle(destination: Endpoint | AddressVector | ReceivedDatagram): AddressHandle {
    this.assertOpen()
    return AddressHandle.create(this, this.#handle, destination)
  }

  /** Drains the queue pairs of this domain ({@link QueuePair.drain}), then closes. */
  override async [Symbol.asyncDispose](): Promise<void> {
    await this.context.drain((pair) => pair.domain === this)
    this.close()
  }

  /** @internal */
  protected override describe(): Record<string, unknown> {
    return { device: this.context.name, closed: false }
  }
}

function arenaOf(
  memory: number | Arena | SharedArrayBuffer | Uint8Array<SharedArrayBuffer>,
  options: RegisterOptions | undefined,
): Arena {
  const { hugePages = false } = optionsOf('options', options, registerOptionNames)
  boolean('options.hugePages', hugePages)
  if (typeof memory === 'number') return Arena.fresh('memory', memory, hugePages)
  if (hugePages) throw typeError('options.hugePages', 'left out where the memory is given', hugePages)
  if (memory instanceof Arena) return memory
  if (memory instanceof SharedArrayBuffer) return Arena.over(memory)
  if (memory instanceof Uint8Array && memory.buffer instanceof SharedArrayBuffer) return Arena.over(memory)
  throw typeError(
    'memory',
    'a size in bytes, an Arena, a SharedArrayBuffer or a Uint8Array over one (an ArrayBuffer could be detached)',
    memory,
  )
}
