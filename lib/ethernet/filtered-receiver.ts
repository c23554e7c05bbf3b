import { runClassic } from '../filter/classic.js'
import type { Batch } from './batch.js'
import { FrameRecord, type FrameTable } from './frames.js'
import { refuseClosed } from './hot/common.js'
import type { ReceivingEnd } from './port.js'

const { words, offset, length, originalLength } = FrameRecord

/**
 * The receiving half of a queue whose device runs no filter: it frees the frames that do not match before the caller
 * sees them.
 */
export class FilteredReceiver implements ReceivingEnd {
  /** Received frames that did not match. */
  unwanted = 0
  readonly #inner: ReceivingEnd
  /** Where the inner receiver puts its frames. */
  readonly #taken: Batch
  readonly #batch: Batch
  readonly #program: Uint32Array
  readonly #table: FrameTable
  readonly #memory: Uint8Array
  readonly #closed: Int32Array
  /** Places in {@link #taken} of the frames that match, which the caller has not got yet. */
  readonly #matching: Int32Array
  #waiting = 0

  /** @param taken the batch of `inner`; `batch` is the caller's */
  constructor(
    inner: ReceivingEnd,
    taken: Batch,
    batch: Batch,
    program: Uint32Array,
    table: FrameTable,
    memory: Uint8Array,
    closed: Int32Array,
  ) {
    this.#inner = inner
    this.#taken = taken
    this.#batch = batch
    this.#program = program
    this.#table = table
    this.#memory = memory
    this.#closed = closed
    this.#matching = new Int32Array(batch.slots.length)
  }

  get invalid(): number {
    return this.#inner.invalid
  }

  get copied(): number {
    return this.#inner.copied
  }

  get received(): number {
    return this.#inner.received - this.unwanted
  }

  get truncated(): number {
    return this.#inner.truncated
  }

  ready(): number {
    while (this.#waiting === 0) {
      const n = this.#inner.receive()
      if (n === 0) return 0
      for (let i = 0; i < n; i++) {
        const slot = this.#taken.slots[i]
        if (this.#matches(slot)) this.#matching[this.#waiting++] = i
        else this.#table.slots.release(slot)
      }
      this.unwanted += n - this.#waiting
    }
    return this.#waiting
  }

  awaitable(): number {
    for (;;) {
      const count = this.ready()
      if (count > 0 || this.#inner.awaitable() === 0) return count
    }
  }

  readonly receive = (): number => {
    if (this.#closed[0] !== 0) refuseClosed()
    const [from, to] = [this.#taken, this.#batch]
    to.count[0] = 0
    const count = this.ready()
    for (let i = 0; i < count; i++) {
      const place = this.#matching[i]
      to.slots[i] = from.slots[place]
      to.offsets[i] = from.offsets[place]
      to.lengths[i] = from.lengths[place]
      to.flags[i] = from.flags[place]
    }
    this.#waiting = 0
    to.count[0] = count
    return count
  }

  /** Frees the frames that receive() has not returned yet. */
  close(): void {
    for (let i = 0; i < this.#waiting; i++) this.#table.slots.release(this.#taken.slots[this.#matching[i]])
    this.#waiting = 0
  }

  #matches(slot: number): boolean {
    const { records } = this.#table
    const at = this.#table.slots.index(slot) * words
    const captured = records[at + length]
    return (
      runClassic(
        this.#program,
        this.#memory,
        records[at + offset],
        captured,
        records[at + originalLength],
      ) !== 0
    )
  }
}
