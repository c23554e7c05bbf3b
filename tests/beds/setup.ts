/** Before each test file: what is tied to its end (over.ts), and to that of its process. */
import { afterAll } from 'vitest'
import { undoAll } from './over.js'
import { startReaper } from './reaper.mjs'

startReaper()
// The runner is gone.
if (process.listenerCount('disconnect') === 0) process.once('disconnect', () => process.exit(1))
afterAll(undoAll)
