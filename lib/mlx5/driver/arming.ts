import { ArmMailbox } from '../native.js'
import type { CompletionRing } from '../rings.js'

/**
 * Asks for the events of a completion queue whose ring this package reads: with its own index, never by
 * ibv_req_notify_cq(3), whose index is libmlx5's and stands still. One event for each asking, with a number that each
 * event raises.
 */
export class Arming {
  readonly #queue: CompletionRing
  readonly #index: () => number

  /** @param index how many of the queue's entries were taken */
  constructor(queue: CompletionRing, index: () => number) {
    this.#queue = queue
    this.#index = index
  }

  ask(solicitedOnly = false): void {
    const { ring, mailbox } = this.#queue
    ring.arm(mailbox[ArmMailbox.events] & 3, this.#index() & 0xffffff, solicitedOnly)
  }
}
