import type { CompletionParts, CompletionPolls } from './parts.js' with { 'resolution-mode': 'import' }

/**
 * A completion queue's poll, one copy a queue (lib/hot/own-copy.ts). Where JavaScript sees the device's own ring, an
 * empty poll is two loads; elsewhere it is one native call, bound to the queue.
 */
export = function completionCalls(parts: CompletionParts): CompletionPolls {
  const { control, device, mailbox, plain, closedStatus, fail } = parts
  const { ring } = parts
  const { kept: keptAt } = parts.QueueControl
  /** The mailbox's word that says that the device's ring is there. */
  const watchedAt = 1
  const { producer: producerAt, consumer: consumerAt } = parts.RxeRing
  /** Polls of an empty ring in a row that need no Atomics. */
  const quietLooks = 255
  let looks = 0

  function poll(): number {
    if (mailbox[watchedAt] === 1 && control[keptAt] === 0) {
      looks = (looks + 1) & quietLooks
      // Only the producer's word is the kernel's: this thread writes the consumer's, in ibv_poll_cq. A plain load may
      // not leave a loop for ever.
      const produced = plain && looks !== 0 ? device[producerAt] : Atomics.load(device, producerAt)
      if (produced === device[consumerAt]) return 0
    }
    return pollDevice()
  }

  function pollDevice(): number {
    mailbox[0] = closedStatus
    ring()
    const count = mailbox[0]
    return count >= 0 ? count : fail(count)
  }

  return { poll, pollDevice }
}
