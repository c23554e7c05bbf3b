/** Runs before each test file: the cleanups at its end (over.ts), and the exit with the runner. */
import { afterAll } from 'vitest'
import { undoAll } from './over.js'
import { startReaper } from './reaper.mjs'

startReaper()
// Software ConnectX of every test, in the programs that it starts too, are strict (binding/soft/nic/strict.cc).
process.env.IBVERBS_SOFT_STRICT ??= '1'
// The runner has ended.
if (process.listenerCount('disconnect') === 0) process.once('disconnect', () => process.exit(1))
afterAll(undoAll)
