/**
 * What is to be undone when a test is over, also when it failed or ran out of time and will never come to its own clean-up.
 */
import { onTestFinished, TestRunner } from 'vitest'

type Undo = () => unknown

/** Of a file, one set for the whole process: this module is loaded again for each file. */
const key = Symbol.for('ibverbs.tests.over')
const shared = globalThis as { [key]?: Set<Undo> }
if (shared[key] === undefined) {
  const all = new Set<Undo>()
  shared[key] = all
  // What an undoing does at once it does here too.
  process.on('exit', () => {
    for (const undo of all) void undo()
  })
}
const pending = shared[key]

/**
 * Has something undone when the running test is over; between tests, and `ofFile`, when the file is (setup.ts). It happens once, and in
 * the opposite order of what was begun. Returns what calls it off.
 */
export function onOver(undo: Undo, { ofFile = false } = {}): () => void {
  pending.add(undo)
  const once = async () => {
    if (pending.delete(undo)) await undo()
  }
  if (!ofFile && TestRunner.getCurrentTest()) onTestFinished(once)
  return () => pending.delete(undo)
}

/** All that is left, the newest first. */
export async function undoAll(): Promise<void> {
  for (const undo of [...pending].reverse()) {
    pending.delete(undo)
    await undo()
  }
}
