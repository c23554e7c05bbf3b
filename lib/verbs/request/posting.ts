/**
 * Requests prepared once and posted many times. A post writes numbers into the queue pair's ring and nothing else:
 * no native call, no allocation; {@link QueuePair.submit} hands all of them to the device.
 */
import type { RequestRing } from './ring.js'

/** What prepared requests need from their queue pair. @internal */
export interface Posting {
  ring: RequestRing
  type: string
  /** The protection domain whose regions they may name. */
  domain: object
  /** Elements of a scatter/gather list. */
  maxElements: number
  /** Bytes of all elements together; infinite for a receive, which may be longer than any message. */
  longest: number
}
