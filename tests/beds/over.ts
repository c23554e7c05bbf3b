/** Cleanup at the end of a test, even if the test failed or timed out and never reaches its own. */
import { onTestFinished, TestRunner } from 'vitest'

type Undo = () => unknown

/** One set for the whole process: vitest loads this module again for each file. */
const key = Symbol.for('ibverbs.tests.over')
const shared = globalThis as { [key]?: Set<Undo> }
if (shared[key] === undefined) {
  const all = new Set<Undo>()
  shared[key] = all
  // On exit, only the synchronous part of a cleanup runs.
  process.on('exit', () => {
    for (const undo of all) void undo()
  })
}
const pending = shared[key]

/**
 * Registers a cleanup for the end of the running test; between tests, and with `ofFile`, for the end of the file (setup.ts).
 * Cleanups run once, in reverse order. Returns a function that cancels it.
 */
export function onOver(undo: Undo, { ofFile = false } = {}): () => void {
  pending.add(undo)
  const once = async () => {
    if (pending.delete(undo)) await undo()
  }
  if (!ofFile && TestRunner.getCurrentTest()) onTestFinished(once)
  return () => pending.delete(undo)
}

/** Runs all remaining cleanups, the newest first. */
export async function undoAll(): Promise<void> {
  for (const undo of [...pending].reverse()) {
    pending.delete(undo)
    await undo()
  }
}
