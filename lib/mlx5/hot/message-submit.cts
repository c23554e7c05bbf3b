import type { MessageSubmitParts } from './parts.js' with { 'resolution-mode': 'import' }

/** A queue pair's submit, one copy a queue pair (lib/hot/own-copy.ts): receives before sends, as the binding's. */
export = function messageSubmit(parts: MessageSubmitParts): () => void {
  const { control, mailbox, receives, sends } = parts
  const { errno: errnoAt, submitted: submittedAt } = parts.Control
  const { gone: goneAt } = parts.SendMailbox

  return function submit(): void {
    if (mailbox[goneAt] !== 0) return
    control[errnoAt] = 0
    const received = receives()
    control[submittedAt] = received + sends()
  }
}
