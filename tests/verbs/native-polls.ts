import { native } from '../../dist/native.js'

/** Counts native polls of the completion queues that are created from now on, until the count is disposed of. */
export function countNativePolls(): Disposable & { polls: number } {
  const { pollBell, pollFor } = native.verbs
  const count = {
    polls: 0,
    [Symbol.dispose]: () => Object.assign(native.verbs, { pollBell, pollFor }),
  }
  native.verbs.pollBell = (queue, mailbox) => {
    const ring = pollBell(queue, mailbox)
    return () => {
      count.polls++
      ring()
    }
  }
  native.verbs.pollFor = (queue, microseconds) => {
    count.polls++
    return pollFor(queue, microseconds)
  }
  return count
}
