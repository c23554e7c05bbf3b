/** Whoever waits on a handle must hear when it closes, also when it was a parent that was closed. */
export interface Pending {
  readonly closed: boolean
  rejectClosed(): void
}

const pending = new Set<Pending>()

/** From here on `waiter` hears of it when what it waits on is closed. */
export function addPending(waiter: Pending): void {
  pending.add(waiter)
}

export function removePending(waiter: Pending): void {
  pending.delete(waiter)
}

/** Rejects all who wait on something that is closed by now. */
export function rejectClosed(): void {
  for (const waiter of pending) if (waiter.closed) waiter.rejectClosed()
}
