/**
 * Two rings and a doorbell in each direction: how everything here talks to a device.
 *
 * **Ring**: descriptors in memory that two ends share, and how far this end has come. The layout is that of the
 * kernel's AF_XDP rings (linux/if_xdp.h): one end produces records and publishes its index, the other consumes them and
 * publishes how far it has come. Indices are u32, count up and wrap; a record's place is its index modulo the capacity.
 * Each end keeps its index in private memory and only publishes a copy: a write to the shared memory can lose or repeat
 * records, but never leads outside the ring.
 *
 * **Hand-over**: how the other end learns it. Here by a shared index, which the kernel or another thread reads
 * ({@link Producer}, {@link Consumer}); by an index that the binding reads in this thread, when it is called
 * ({@link LocalProducer}, {@link LocalConsumer} in local.ts); by a status word in each descriptor (PACKET_MMAP,
 * ethernet/af-packet/port.ts); or by a phase bit that changes with each lap (a completion queue's owner bit).
 *
 * **Doorbell**: one native function that makes the other end look, where it must be rung (`poll` and `kick` of a
 * `Port`, ethernet/port.ts).
 *
 * Hot code has an end of its own over the same words ({@link Consumer.hot}, {@link Producer.hot}), compiled once a ring.
 */

import { ownCopy, plainAccess } from '../hot/own-copy.js'
import type { HotConsumer, HotProducer, RingParts } from './hot/parts.js'

const firstRecord = 32

/** The places of indices and records in a ring's memory, in u32 words. */
export interface RingLayout {
  /** the producer's index */
  readonly producer: number
  /** the consumer's index */
  readonly consumer: number
  /** the first record */
  readonly records: number
  /** the number of records, a power of two */
  readonly capacity: number
}

/** Records in AF_XDP's formats, as u32 words: addresses (fill, completion) and descriptors (receive, transmit). */
export const AddressRecord = { address: 0, status: 1, words: 2 } as const
export const DescriptorRecord = { address: 0, addressHigh: 1, length: 2, options: 3, words: 4 } as const
/** XDP_PKT_CONTD, linux/if_xdp.h: the frame continues in the next descriptor. */
export const DescriptorOption = { continued: 1 } as const

// Constants local to this file: V8 folds them, but loads an exported object's field at each use.
const { addressHigh: addressHighWord, length: lengthWord, options: optionsWord } = DescriptorRecord
const { status: statusWord } = AddressRecord
const { continued } = DescriptorOption

/** A ring's memory: a SharedArrayBuffer of this process, or a mapping of the kernel's. */
export type RingWords = Uint32Array

/** Allocates a ring of at least `records` records; the capacity is the next power of two. */
export function allocateRing(records: number, recordWords: number): Uint32Array<SharedArrayBuffer> {
  const capacity = 2 ** Math.ceil(Math.log2(records))
  return new Uint32Array(new SharedArrayBuffer((firstRecord + capacity * recordWords) * 4))
}

/**
 * Private words of one thread: hot code reads and writes them as constants of its own. Not in V8's heap, where a small
 * typed array would lie and its address not be a constant.
 */
export function cells(count: number): Int32Array<SharedArrayBuffer> {
  return new Int32Array(new SharedArrayBuffer(Math.max(64, count * 4)), 0, count)
}

/** The layout of {@link allocateRing}: each index on a cache line of its own. */
function ownLayout(words: RingWords, recordWords: number): RingLayout {
  const capacity = (words.length - firstRecord) / recordWords
  return { producer: 0, consumer: 16, records: firstRecord, capacity }
}

/**
 * The layout of a completion ring that is the transmit ring itself, made by {@link allocateRing}: frames complete in
 * order, when their descriptors are consumed, so that the consumer's index there is the producer's here. Its capacity is
 * that of the pool at least: a frame's descriptor stays until the frame is taken back.
 */
export function completedInPlace({ consumer, records, capacity }: RingLayout): RingLayout {
  return { producer: consumer, consumer: consumer + 8, records, capacity }
}

/**
 * The common part of both ends: a ring's memory, and how far this end has come.
 *
 * V8 tracks whether a field ever changes its first value or its representation, and checks the field from then on.
 * Here, and in the other classes of the hot path, fields are therefore declared and not defined (a definition first
 * sets undefined), and numbers are made int32 by `| 0` (a power is a number on the heap).
 */
class RingEnd {
  declare readonly words: RingWords
  declare readonly layout: RingLayout
  declare readonly mask: number
  declare readonly producer: number
  declare readonly consumer: number
  /** for loops that keep them in local variables: the first record, and log2 of a record's words */
  declare readonly records: number
  declare readonly recordShift: number
  /**
   * One word: how far this end has come, a wrapping int32. It is private to this end, but in a typed array, so that hot
   * code of the queue's own (lib/hot/copy.ts) and the classes share it.
   */
  declare readonly position: Int32Array

  /** @param layout of a ring that {@link allocateRing} did not make */
  constructor(words: RingWords, recordWords: number, layout = ownLayout(words, recordWords)) {
    this.words = words
    this.layout = layout
    this.position = cells(1)
    this.mask = (layout.capacity - 1) | 0
    this.producer = layout.producer | 0
    this.consumer = layout.consumer | 0
    this.records = layout.records | 0
    this.recordShift = Math.log2(recordWords) | 0
  }

  /** Whether the other end is the binding, which looks in this thread. */
  protected get local(): boolean {
    return false
  }

  protected hotParts(): RingParts {
    return { ring: this, plain: plainAccess || this.local, DescriptorRecord, DescriptorOption }
  }

  /** How far this end has come, a wrapping int32. */
  get index(): number {
    return this.position[0]
  }

  /** The first word of the record `ahead` records after the next one. */
  at(ahead: number): number {
    return (this.records + (((this.position[0] + ahead) & this.mask) << this.recordShift)) | 0
  }
}

/** The end that writes records. */
export class Producer extends RingEnd {
  /** A copy of this end for hot code, which shares its words and its position. */
  hot(): HotProducer {
    const compile = ownCopy<(parts: RingParts) => HotProducer>(new URL('./hot/producer.cjs', import.meta.url))
    return compile(this.hotParts())
  }

  /** Takes the next place and returns its first word. The other end sees the record after {@link publish}. */
  push(): number {
    const at = this.at(0)
    this.position[0]++
    return at
  }

  /** Writes the next record of a ring that holds addresses alone. */
  pushAddress(address: number): void {
    // The upper half of the address stays zero, as allocated.
    this.words[this.push()] = address
  }

  /** Writes the next descriptor. */
  write(address: number, length: number, options: number): void {
    const { words } = this
    const at = this.push()
    words[at] = address
    words[at + addressHighWord] = 0
    words[at + lengthWord] = length
    words[at + optionsWord] = options
  }

  /** How many more records fit, with `untaken` that the consumer has not taken. */
  room(untaken: number): number {
    return this.layout.capacity - untaken
  }

  /** Hands over every record pushed so far. */
  publish(): void {
    Atomics.store(this.words, this.producer, this.position[0])
  }

  /**
   * How many records the consumer has not taken yet, published or not; more than the capacity when its index is
   * impossible.
   */
  outstanding(): number {
    return (this.position[0] - Atomics.load(this.words, this.consumer)) >>> 0
  }

  /** How many records were pushed since {@link index} was `since`. */
  pushed(since: number): number {
    return (this.position[0] - since) | 0
  }

  /** The place of the record `back` records before the next one, 0 to capacity − 1. */
  place(back: number): number {
    return (this.position[0] - back) & this.mask
  }
}

/**
 * The end that reads records. A ring of another kind than AF_XDP's, whose records hold no address or stand for several
 * frames, is a subclass: it answers {@link available}, {@link at}, {@link address}, {@link length} and {@link more} for
 * each frame all the same, here and in {@link hot}.
 */
export class Consumer extends RingEnd {
  /** A copy of this end for hot code, which shares its words and its position. */
  hot(): HotConsumer {
    const compile = ownCopy<(parts: RingParts) => HotConsumer>(new URL('./hot/consumer.cjs', import.meta.url))
    return compile(this.hotParts())
  }

  /** The address in the record at word `at`: the offset of its frame in the arena, in bytes. */
  address(at: number): number {
    return this.words[at]
  }

  /** The length in a descriptor, in bytes. */
  length(at: number): number {
    return this.words[(at + lengthWord) | 0]
  }

  /** Whether a descriptor's frame continues in the next one. */
  more(at: number): boolean {
    return (this.words[(at + optionsWord) | 0] & continued) !== 0
  }

  /** What else the record tells of its frame: bits of FrameFlag (lib/ethernet/frames.ts). */
  flags(_at: number): number {
    return 0
  }

  /** The status in a completion: a positive errno for a frame that was not sent, else 0. */
  status(at: number): number {
    return this.words[(at + statusWord) | 0]
  }

  /** How many records are ready; 0 when the producer's index is impossible. */
  available(): number {
    const count = (Atomics.load(this.words, this.producer) - this.position[0]) >>> 0
    return count <= this.mask + 1 ? count : 0
  }

  /** Hands `count` places back to the producer. */
  consume(count: number): void {
    this.position[0] += count
    Atomics.store(this.words, this.consumer, this.position[0])
  }
}
