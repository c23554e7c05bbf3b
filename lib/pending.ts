/** A wait on a handle. Closing the handle ends the wait, also when a parent closes it. */
export interface Pending {
  readonly closed: boolean
  rejectClosed(): void
}

const pending = new Set<Pending>()

/** From here on {@link rejectClosed} rejects `waiter` once its handle is closed. */
export function addPending(waiter: Pending): void {
  pending.add(waiter)
}

export function removePending(waiter: Pending): void {
  pending.delete(waiter)
}

/** Rejects every wait whose handle is closed by now. */
export function rejectClosed(): void {
  for (const waiter of pending) if (waiter.closed) waiter.rejectClosed()
}
