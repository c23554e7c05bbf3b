/** What hot code and the classes beside it share: words of a typed array, by name, and a queue's own properties. */
import type { VerbsError } from '../../errors.js'

/**
 * Words of a receiver's state: frames in the fill ring; how many descriptors the receiver's own look used; and not 0 where it
 * copies received frames out of their buffers (Receiver).
 */
export const ReceiveState = { filled: 0, used: 1, copying: 2, words: 3 } as const

/**
 * Words of a transmitter's state: how many frames may still go straight into the ring; how far the device has taken
 * descriptors out of the ring; not 0 where hot code must leave the next submit to the class; and submits since the last
 * look at the link.
 */
export const TransmitState = { room: 0, taken: 1, slow: 2, submits: 3 } as const

/** Where the transmitting half says how far it is. */
export interface Outcome {
  /** Frames sent and not yet accepted. */
  pending: number
  /** The error that ended the last submit before it accepted every frame, and that does not pass by itself. */
  error: VerbsError | null
}
