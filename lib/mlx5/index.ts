/**
 * Direct verbs (mlx5dv(7)): what a ConnectX and its driver say to each other, byte by byte. For the real thing and for the
 * software ConnectX alike.
 */
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
export type { Source } from './layout/field.js'
export type { CqeFormatName, CqeOpcodeName, CqeSyndromeName, SendOpcodeName } from './layout/names.js'
