import type { Endpoint } from '../address/endpoint.js'
import type { CompletionQueue } from '../completion-queue.js'
import type { QueuePairType } from '../constants.js'
import type { RequestRings } from '../request/rings.js'
import type { QueuePairCapabilities } from './capabilities.js'

/** A new queue pair of the device, and what it was created with. @internal */
export interface CreatedQueuePair {
  handle: number
  type: QueuePairType
  /** What was asked for. */
  sizes: QueuePairCapabilities
  /** What the device granted. */
  capabilities: QueuePairCapabilities
  rings: RequestRings
  sendCq: CompletionQueue
  receiveCq: CompletionQueue
  endpoint: Endpoint
  port: number
  gidIndex: number
  longestMessage: number
  /** Maximum bytes that one element of a receive states to the device. */
  longestReceive: number
}
