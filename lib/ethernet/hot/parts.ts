/** What the hot files get: the only things that they use, besides the language itself (lib/hot/own-copy.ts). */

import type { types } from 'node:util'
import type { HotConsumer, HotFill, HotTransmit } from '../../ring/hot/parts.js'
import type { PoolState } from '../../ring/slots.js'
import type { Batch } from '../batch.js'
import type { FrameRecord, FrameTable } from '../frames.js'
import type { Bell, Port } from '../port.js'
import type { QueueCalls } from '../queue-calls.js'
import type { Outcome, ReceiveState, TransmitState } from './state.js'

/** Common to all. The constants are parameters too: V8 folds them, as they never change. */
export interface Parts {
  table: FrameTable
  /** One word: not 0 once the queue is closed. */
  closed: Int32Array
  /** Throws the error of a closed queue. */
  refuseClosed(): never
  brief: number
  generationMask: number
  PoolState: typeof PoolState
  FrameRecord: typeof FrameRecord
  /**
   * Whether a column is one: a typed array of any realm, whose elements run nobody's code between two checks. The
   * prototype, which `instanceof` looks at, shows neither.
   */
  isInt32Array: typeof types.isInt32Array
  isUint32Array: typeof types.isUint32Array
}

/** Of slots.cts. */
export interface SlotParts extends Parts {
  batch: Batch
  fail: {
    slot(slot: unknown): never
    batchIndex(i: unknown, count: number): never
    column(slots: unknown, count: unknown): never
    spill(): void
  }
}

export type SlotCalls = Pick<QueueCalls, 'slot' | 'offset' | 'length' | 'flags' | 'release' | 'releaseMany'>

/** Of both halves of a queue. */
interface HalfParts extends Parts {
  port: Port
  /** The port's. */
  attention: Int32Array
  /** Link.state. */
  link: Int32Array
  /** Who owns the frames that the device has. */
  holder: number
}

/** Of receive.cts. */
export interface ReceiveParts extends HalfParts {
  ring: HotConsumer
  fill: HotFill
  batch: Batch
  state: Int32Array
  /** One number: how many frames were received. */
  received: Float64Array
  /** How many frames the fill ring holds. */
  target: number
  scarce: number
  framesPerBuffer: number
  describes: boolean
  /** Whether descriptors tell more of each frame, which the class reads. */
  detailed: boolean
  /** The bit of `link` that says that the interface is gone. */
  gone: number
  ReceiveState: typeof ReceiveState
  receiver: {
    look(): number
    polled(status: number): number
    rest(count: number, used: number, available: number): number
    refill(): void
    replenish(): void
  }
}

export interface ReceiveCalls extends Pick<QueueCalls, 'receive'> {
  /** Takes received frames into the batch from `first` on; returns how many. */
  take(first: number): number
}

/** Of transmit.cts. */
export interface TransmitParts extends HalfParts {
  ring: HotTransmit
  completion: HotConsumer
  bell: Bell
  state: Int32Array
  /** One number: how many frames the device has accepted. */
  transmitted: Float64Array
  outcome: Outcome
  /** Flags of a record that leaves work to the kernel or the device. */
  unfinished: number
  headerBytes: number
  /** How many submits may follow one another without a look at the link. */
  submitsBetweenLooks: number
  TransmitState: typeof TransmitState
  transmitter: {
    reclaim(): boolean
    stage(index: number, length: number): void
    move(slot: number, offset: number): void
    forward(slot: number): void
    look(): void
    submit(): number
    kicked(status: number): number
    countInvalid(count: number): void
    spill(): void
    badSlot(slot: unknown): never
    badLength(slot: number, length: unknown): never
    badColumn(slots: unknown, count: unknown, name?: string, others?: unknown): never
  }
}

export type TransmitCalls = Pick<
  QueueCalls,
  'claim' | 'claimMany' | 'send' | 'sendMany' | 'forward' | 'forwardMany' | 'submit'
>
