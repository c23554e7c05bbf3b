/**
 * Requests prepared once and posted many times. A post writes numbers into the queue pair's ring and nothing else:
 * no native call, no allocation; {@link QueuePair.submit} hands all of them to the device.
 */
import type { ElementLimits } from './elements.js'
import type { RequestRing } from './ring.js'

/** What prepared requests need of their queue pair. @internal */
export interface Posting extends ElementLimits {
  ring: RequestRing
  type: string
}
