// The NIC engine of the software ConnectX without Node: C++ tests that step it by hand, built here and run one by one.

import { join } from 'node:path'
import { testSuites } from './engine/suites.js'

testSuites(join(import.meta.dirname, 'engine'), 'engine_tests')
