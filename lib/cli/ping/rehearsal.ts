/**
 * A ping-pong of a queue pair with itself, before the peer comes. V8 compiles the loop and the calls of the completion queue
 * again and again during their first thousands of messages, in threads of its own; where polling processes keep all
 * processors busy, each of these steps holds messages up for a slice of the scheduler's, 4 to 20 ms.
 */
import type { CompletionQueue, Context } from '../../index.js'
import { PingEnd, type PingSettings } from './end.js'

/** Messages until V8 has done what it will do, and for how long that is waited for, in milliseconds. */
const enough = 10_000
const patience = 3000
/** Bytes: the code is the same for longer messages. */
const longest = 4096
/** Milliseconds: V8 compiles for its next call a function that is called again and again. */
const yieldInterval = 20

/**
 * @param completionQueue the one that the ping will use: its hot code is its own
 * @returns why it failed, if it did: the ping itself may work all the same
 */
export async function rehearse(
  context: Context,
  completionQueue: CompletionQueue,
  settings: PingSettings,
  signal: AbortSignal,
): Promise<string | undefined> {
  const time = AbortSignal.any([signal, AbortSignal.timeout(patience)])
  // V8 takes what it has seen in one object only for a constant, and compiles anew for the second.
  for (const part of [0.2, 0.2, 0.6]) {
    // A short ping is no measurement, and must not take long.
    const iterations = Math.ceil(Math.min(enough, settings.iterations * 10) * part)
    const itself = {
      ...{ ...settings, host: 'itself', iterations, warmup: 0, events: false },
      ...{ size: Math.min(settings.size, longest), timeout: patience, yieldInterval },
    }
    const end = new PingEnd(context, completionQueue, itself, time)
    try {
      end.connect(end.destination)
      const { failure } = await end.run()
      if (failure !== undefined) return failure
    } finally {
      end.close()
    }
  }
  return undefined
}
