// The guarantees of verbs (the man pages, the InfiniBand specification, the kernel), checked by programs of libibverbs'
// own calls on the software ConnectX. The same program runs on SoftRoCE, VERBS_DEVICE=rxe0: a test notes where that
// differs.

import { join } from 'node:path'
import { testSuites } from './engine/suites.js'

const library = join(import.meta.dirname, '../../build/Release/libibverbs_soft.so')

/** The devices that a file's tests need; a plain loop for all others. */
const devices: Record<string, string> = { limits: 'loop?maxObjects=5' }

testSuites(join(import.meta.dirname, 'verbs'), 'verbs_tests', (suite) => ({
  IBVERBS_SOFT: devices[suite] ?? 'loop',
  LD_PRELOAD: library,
}))
