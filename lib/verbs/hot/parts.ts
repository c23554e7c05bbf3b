/** What the hot files get: the only things that they use, besides the language itself (lib/hot/own-copy.ts). */
import type { CompletionCalls } from '../completion-calls.js'
import type { QueueControl, RxeRing } from '../request/records.js'

/** Of completion-queue.cts. */
export interface CompletionParts {
  /** The queue's control words. */
  control: Uint32Array
  /** The device's own ring, as long as the mailbox's second word is 1. */
  device: Uint32Array
  /** Polls: the count, or a negative errno, goes to the mailbox, which stays as it was once the queue is closed. */
  ring: () => void
  mailbox: Int32Array
  /** Whether plain loads do for the hand-over. */
  plain: boolean
  /** No status of a poll. */
  closedStatus: number
  /** Throws the error of a negative status. */
  fail(status: number): never
  QueueControl: typeof QueueControl
  RxeRing: typeof RxeRing
}

/** What completion-queue.cts makes. */
export interface CompletionPolls extends CompletionCalls {
  /** {@link poll}, by a native call whatever the device's ring shows. */
  pollDevice(): number
}
