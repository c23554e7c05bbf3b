import { runClassic } from '../filter/classic.js'
import { FrameRecord, type FrameTable } from './frames.js'
import type { ReceivingEnd } from './port.js'
import { batchIndexError } from './receiver.js'

const { words, offset, length, originalLength } = FrameRecord

/**
 * The receiving half of a queue whose device runs no filter: it frees the frames that do not match before the caller
 * sees them.
 */
export class FilteredReceiver implements ReceivingEnd {
  /** Received frames that did not match. */
  unwanted = 0
  readonly #inner: ReceivingEnd
  readonly #program: Uint32Array
  readonly #table: FrameTable
  readonly #memory: Uint8Array
  /** The caller's batch, and the next one. */
  #slots: Int32Array
  #next: Int32Array
  #count = 0
  #waiting = 0

  constructor(
    inner: ReceivingEnd,
    program: Uint32Array,
    table: FrameTable,
    memory: Uint8Array,
    batch: number,
  ) {
    this.#inner = inner
    this.#program = program
    this.#table = table
    this.#memory = memory
    this.#slots = new Int32Array(batch)
    this.#next = new Int32Array(batch)
  }

  get invalid(): number {
    return this.#inner.invalid
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
        const slot = this.#inner.slot(i)
        if (this.#matches(slot)) this.#next[this.#waiting++] = slot
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

  receive(): number {
    this.#count = 0
    const count = this.ready()
    const taken = this.#next
    this.#next = this.#slots
    this.#slots = taken
    this.#waiting = 0
    this.#count = count
    return count
  }

  slot(i: number): number {
    return i >= 0 && i < this.#count && (i | 0) === i ? this.#slots[i] : batchIndexError(i, this.#count)
  }

  /** Frees the frames that receive() has not returned yet. */
  close(): void {
    for (let i = 0; i < this.#waiting; i++) this.#table.slots.release(this.#next[i])
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
