/** Runs before each test file: the cleanups at its end (over.ts), and the exit with the runner. */
import { afterAll } from 'vitest'
import { undoAll } from './over.js'
import { startReaper } from './reaper.mjs'

startReaper()
// The runner has ended.
if (process.listenerCount('disconnect') === 0) process.once('disconnect', () => process.exit(1))
afterAll(undoAll)
