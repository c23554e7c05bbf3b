/** Checks numbered frames: counts lost, duplicated and reordered ones, and measures their latency. */

import { LogHistogram } from '../../lab/log-histogram.js'
import { nanosecondsOf, payloadOf, secondsOf, sequenceOf, streamOf } from './generated-frame.js'

/** How far back duplicates are recognized, in frames. */
export const windowSize = 1 << 16

/** The frames of one generator. */
export class SequenceWindow {
  /** Different frames that arrived. */
  distinct = 0
  duplicated = 0
  /** Frames that arrived after one with a higher number (RFC 4737, 3). */
  reordered = 0
  /** Frames that arrived too late to tell duplicates: counted neither as distinct nor as duplicated. */
  stale = 0
  #first = -1
  #highest = -1
  readonly #seen = new Uint32Array(windowSize / 32)

  /** Frames missing between the lowest and the highest number that arrived. */
  get lost(): number {
    return this.#first < 0 ? 0 : this.#highest - this.#first + 1 - this.distinct
  }

  add(sequence: number): void {
    if (sequence > this.#highest) {
      this.#advance(sequence)
      if (this.#first < 0) this.#first = sequence
      this.#highest = sequence
    } else if (sequence < this.#first) {
      // Lower than all numbers so far: it is new, however late.
      this.reordered++
      this.#first = sequence
    } else if (this.#highest - sequence >= windowSize) {
      this.stale++
      return
    } else if (this.#has(sequence)) {
      this.duplicated++
      return
    } else {
      this.reordered++
    }
    this.distinct++
    if (this.#highest - sequence < windowSize)
      this.#seen[(sequence % windowSize) >>> 5] |= 1 << (sequence & 31)
  }

  #has(sequence: number): boolean {
    return (this.#seen[(sequence % windowSize) >>> 5] & (1 << (sequence & 31))) !== 0
  }

  /** Clears the bits that the numbers up to this one reuse. */
  #advance(sequence: number): void {
    if (this.#highest < 0 || sequence - this.#highest >= windowSize) {
      this.#seen.fill(0)
      return
    }
    for (let each = this.#highest + 1; each <= sequence; each++) {
      this.#seen[(each % windowSize) >>> 5] &= ~(1 << (each & 31))
    }
  }
}

/** Counters, in frames. */
export interface CheckTotals {
  frames: number
  lost: number
  duplicated: number
  reordered: number
  /** Frames that arrived too late to tell whether they had been counted as lost or are duplicates. */
  stale: number
  /** Frames that no generator made. */
  foreign: number
}

/** Checks the test frames of any number of generators. */
export class SequenceCheck {
  frames = 0
  foreign = 0
  /** Nanoseconds from a frame's due time (at full speed: its time of writing) to its arrival. */
  readonly latency = new LogHistogram()
  /** Frames that arrived before their due time: the two clocks differ. */
  early = 0
  readonly #only: number | undefined
  readonly #warmup: number
  readonly #streams = new Map<number, SequenceWindow>()

  /**
   * @param stream count frames of this generator only
   * @param warmup number of first frames whose latency is not recorded
   */
  constructor(stream?: number, warmup = 0) {
    this.#only = stream
    this.#warmup = warmup
  }

  /** Takes a frame, bytes [at, end), with its time of arrival; returns whether it is a test frame. */
  take(bytes: Uint8Array, at: number, end: number, seconds: number, nanoseconds: number): boolean {
    const payload = payloadOf(bytes, at, end)
    const stream = payload < 0 ? -1 : streamOf(bytes, payload)
    if (stream < 0 || (this.#only !== undefined && stream !== this.#only)) {
      this.foreign++
      return false
    }
    let window = this.#streams.get(stream)
    if (!window) {
      window = new SequenceWindow()
      this.#streams.set(stream, window)
    }
    this.frames++
    const sequence = sequenceOf(bytes, payload)
    window.add(sequence)
    if (sequence < this.#warmup) return true
    const took = (seconds - secondsOf(bytes, payload)) * 1e9 + nanoseconds - nanosecondsOf(bytes, payload)
    if (took < 0) this.early++
    this.latency.record(took)
    return true
  }

  /** @param sent frames sent, where known: those lost at either end then count too */
  totals(sent?: number): CheckTotals {
    let [lost, duplicated, reordered, stale, distinct] = [0, 0, 0, 0, 0]
    for (const window of this.#streams.values()) {
      lost += window.lost
      duplicated += window.duplicated
      reordered += window.reordered
      stale += window.stale
      distinct += window.distinct
    }
    // More arrive than were sent if another generator uses the same stream number.
    if (sent !== undefined) lost = Math.max(0, sent - distinct)
    return { frames: this.frames, lost, duplicated, reordered, stale, foreign: this.foreign }
  }
}
