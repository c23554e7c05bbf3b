import { cells } from '../ring/ring.js'

/** The frames of the last receive(), in columns: frame `i` is `slots[i]`, at `offsets[i]`, and so on. */
export class Batch {
  readonly slots: Int32Array<SharedArrayBuffer>
  /** Bytes from the start of the arena. */
  readonly offsets: Uint32Array<SharedArrayBuffer>
  /** Bytes of each frame in memory. */
  readonly lengths: Uint32Array<SharedArrayBuffer>
  /** FrameFlag bits. */
  readonly flags: Uint8Array<SharedArrayBuffer>
  /** One word: how many frames there are. */
  readonly count = cells(1)

  /** @param size the most frames */
  constructor(size: number) {
    const column = () => cells(size).buffer as SharedArrayBuffer
    this.slots = new Int32Array(column(), 0, size)
    this.offsets = new Uint32Array(column(), 0, size)
    this.lengths = new Uint32Array(column(), 0, size)
    this.flags = new Uint8Array(column(), 0, size)
  }
}
