import { boolean, instance, integer, type Names, options as optionsOf } from '../argument.js'
import { native } from '../native.js'

/** Options of {@link Arena.allocate}. */
export interface ArenaOptions {
  /**
   * Lay the memory on transparent huge pages (madvise(2), MADV_HUGEPAGE): fewer TLB misses for large arenas.
   * {@link Arena.hugePageBytes} tells how much of it the kernel really did.
   */
  hugePages?: boolean
}
const arenaOptionNames = { hugePages: true } as const satisfies Names<ArenaOptions>

const hugePageSize = 2 << 20

/**
 * Memory that JavaScript, worker threads and devices share: a stretch of a SharedArrayBuffer, which can be neither
 * detached nor transferred, and which lives for as long as anything sees it.
 *
 * Offsets into an arena count from its first byte. Send `arena.bytes` to a worker and wrap it there with
 * {@link Arena.over}: both threads see the same memory.
 */
export class Arena {
  /** The arena's memory. */
  readonly bytes: Uint8Array<SharedArrayBuffer>

  private constructor(bytes: Uint8Array<SharedArrayBuffer>) {
    this.bytes = bytes
  }

  /**
   * Fresh memory, zeroed and page-aligned.
   *
   * @param byteLength bytes, at least 1
   * @throws RangeError ERR_OUT_OF_RANGE for a size that cannot be had
   */
  static allocate(byteLength: number, options?: ArenaOptions): Arena {
    integer('byteLength', byteLength, 1)
    const { hugePages = false } = optionsOf('options', options, arenaOptionNames)
    boolean('options.hugePages', hugePages)
    const alignment = hugePages ? hugePageSize : native.ring.pageSize
    const size = Math.ceil(byteLength / alignment) * alignment
    // V8 aligns a SharedArrayBuffer to a few bytes only: take one page more than is needed and start at its edge.
    const buffer = allocateShared(size + alignment, byteLength)
    const gap = native.ring.alignmentGap(new Uint8Array(buffer), alignment)
    if (hugePages) native.ring.useHugePages(new Uint8Array(buffer, gap, size))
    return new Arena(new Uint8Array(buffer, gap, byteLength))
  }

  /**
   * Memory of the caller's own: a SharedArrayBuffer, or a Uint8Array over part of one.
   *
   * @throws TypeError ERR_INVALID_ARG_TYPE for an ordinary ArrayBuffer, which could be detached under the device
   */
  static over(memory: SharedArrayBuffer | Uint8Array<SharedArrayBuffer>): Arena {
    // With a length: a view without one grows when a growable buffer does, and a registered region cannot.
    if (memory instanceof SharedArrayBuffer) return new Arena(new Uint8Array(memory, 0, memory.byteLength))
    instance('memory', memory, Uint8Array)
    instance('memory.buffer', memory.buffer, SharedArrayBuffer)
    return new Arena(new Uint8Array(memory.buffer, memory.byteOffset, memory.byteLength))
  }

  /** Size in bytes. */
  get byteLength(): number {
    return this.bytes.byteLength
  }

  /** How many of the arena's bytes lie on huge pages at this moment (AnonHugePages; proc(5)). */
  get hugePageBytes(): number {
    return native.ring.hugePageBytes(this.bytes)
  }
}

function allocateShared(size: number, asked: number): SharedArrayBuffer {
  try {
    return new SharedArrayBuffer(size)
  } catch (cause) {
    throw Object.assign(
      new RangeError(`"byteLength": ${asked} bytes of shared memory cannot be had`, { cause }),
      {
        code: 'ERR_OUT_OF_RANGE',
      },
    )
  }
}
