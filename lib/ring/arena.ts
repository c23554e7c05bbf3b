import { constants } from 'node:buffer'
import { boolean, instance, integer, type Names, options as optionsOf } from '../argument.js'
import { native } from '../native.js'

/** Options of {@link Arena.allocate}. */
export interface ArenaOptions {
  /**
   * Put the memory on transparent huge pages (madvise(2), MADV_HUGEPAGE): fewer TLB misses for large arenas. This is a
   * hint, and the kernel may use none: {@link Arena.hugePageBytes} tells how many bytes really lie on them. Default
   * false.
   */
  hugePages?: boolean
}
const arenaOptionNames = { hugePages: true } as const satisfies Names<ArenaOptions>

const hugePageSize = 2 << 20

/** Bytes of the longest typed array in this version of Node. */
const longestView = constants.MAX_LENGTH

/**
 * Memory that JavaScript, worker threads and devices share: a range of a SharedArrayBuffer, which cannot be detached or
 * transferred, and which lives for as long as any reference to it.
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
   * Allocates memory, zeroed and page-aligned.
   *
   * @param byteLength bytes, at least 1
   * @throws RangeError ERR_OUT_OF_RANGE for a size that cannot be allocated: on Node 20 a view has at most 4 GiB
   */
  static allocate(byteLength: number, options?: ArenaOptions): Arena {
    const { hugePages = false } = optionsOf('options', options, arenaOptionNames)
    boolean('options.hugePages', hugePages)
    return Arena.fresh('byteLength', byteLength, hugePages)
  }

  /** {@link allocate}, with the caller's name of the size for errors. @internal */
  static fresh(name: string, byteLength: number, hugePages = false): Arena {
    integer(name, byteLength, 1, longestView)
    const alignment = hugePages ? hugePageSize : native.ring.pageSize
    const size = Math.ceil(byteLength / alignment) * alignment
    // V8 aligns a SharedArrayBuffer to a few bytes only: allocate one page more and start at a page boundary.
    const buffer = allocateShared(name, size + alignment, byteLength)
    const gap = native.ring.alignmentGap(new Uint8Array(buffer, 0, 1), alignment)
    if (hugePages) native.ring.useHugePages(new Uint8Array(buffer, gap, size))
    return new Arena(new Uint8Array(buffer, gap, byteLength))
  }

  /**
   * Wraps the caller's own memory: a SharedArrayBuffer, or a Uint8Array over part of one.
   *
   * @throws TypeError ERR_INVALID_ARG_TYPE for an ordinary ArrayBuffer, which could be detached while the device uses
   *   it; RangeError ERR_OUT_OF_RANGE for more than a view can have (Node 20: 4 GiB)
   */
  static over(memory: SharedArrayBuffer | Uint8Array<SharedArrayBuffer>): Arena {
    // With an explicit length: a view without one grows with a growable buffer, and a registered region cannot.
    if (memory instanceof SharedArrayBuffer) {
      integer('memory.byteLength', memory.byteLength, 0, longestView)
      return new Arena(new Uint8Array(memory, 0, memory.byteLength))
    }
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

function allocateShared(name: string, size: number, asked: number): SharedArrayBuffer {
  try {
    return new SharedArrayBuffer(size)
  } catch (cause) {
    throw Object.assign(
      new RangeError(`"${name}": ${asked} bytes of shared memory cannot be had`, { cause }),
      {
        code: 'ERR_OUT_OF_RANGE',
      },
    )
  }
}
