/**
 * Direct verbs (mlx5dv(7)): what a ConnectX and its driver say to each other, byte by byte. For the real thing and for the
 * software ConnectX alike.
 */
import '../control/environment.js'
import * as fields from './layout/index.js'

export {
  type StridingOptions,
  WorkQueue,
  type WorkQueueAttributes,
  type WorkQueueState,
} from '../verbs/work-queue.js'
export { DeviceClock } from './clock.js'
export {
  createCompletionQueue,
  createQueuePair,
  type Driver,
  type Mlx5CompletionQueueOptions,
  type Mlx5QueuePairOptions,
} from './create.js'
export {
  type CompletionOptions,
  type DecodedCompletion,
  decodeCompletion,
  decodeMiniCompletions,
  type MiniCompletionFormat,
} from './decode/completion.js'
export { type DoorbellKind, decodeDoorbell } from './decode/doorbell.js'
export { type DecodedEntry, type DecodedField, type DecodedSegment, DecodeError } from './decode/entry.js'
export {
  type DecodedReceiveRequest,
  decodeReceiveRequest,
  type ReceiveRequestOptions,
} from './decode/receive-request.js'
export {
  type DecodedSendRequest,
  decodeSendRequest,
  type SendRequestOptions,
} from './decode/send-request.js'
export { formatEntry } from './decode/text.js'
export { type CompressionFormatName, type Mlx5Device, type Mlx5Flag, queryDevice } from './device.js'
export {
  type DirectCompletionQueue,
  type DirectQueuePair,
  type DirectRing,
  type DirectWorkQueue,
  direct,
} from './direct.js'
export type { FieldLayout, Reading, Source, StructLayout } from './layout/field.js'
export type { CqeFormatName, CqeOpcodeName, CqeSyndromeName, SendOpcodeName } from './layout/names.js'
export {
  createIndirectionTable,
  createRssQueuePair,
  IndirectionTable,
  RssQueuePair,
  type RssQueuePairOptions,
  type RxHashField,
} from './rss.js'
export { isSupported } from './supported.js'
export { createWorkQueue, type WorkQueueOptions } from './work-queue.js'

/**
 * Where each field of a ring's entry lies, and the numbers that fields hold: what a driver of one's own needs. All fields are
 * big-endian, as DataView's calls are by default.
 */
export const layout = fields
