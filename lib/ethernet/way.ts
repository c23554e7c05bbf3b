import type { Link } from './interface/link.js'
import type { Port, ReceivingEnd } from './port.js'
import type { QueueParts } from './queue-parts.js'
import { Receiver } from './receiver.js'
import { Transmitter } from './transmitter.js'

/** A port, and the two halves of a queue on it. */
export interface Way {
  port: Port
  receiver: ReceivingEnd
  transmitter: Transmitter
  /** The link to use instead of the interface's own. */
  link?: Link
  /** Undoes the changes to the device, after the port is closed. */
  restore?: () => void
}

/**
 * The two halves of a queue on a port. Where they cannot be made, the port is closed.
 *
 * @param target how many frames stand ready to receive into
 */
export function wayOver(
  port: Port,
  link: Link,
  queue: QueueParts,
  target: number,
): Way & { receiver: Receiver } {
  try {
    return {
      port,
      receiver: new Receiver(port, link, queue, queue.holder, target),
      transmitter: new Transmitter(port, link, queue),
    }
  } catch (error) {
    port.close()
    throw error
  }
}
