/** All checks, in the order in which they run. */
import type { Check } from './check.js'
import { directChecks } from './direct-checks.js'
import { frameChecks } from './frame-checks.js'
import { verbsChecks } from './verbs-checks.js'

export const checks: readonly Check[] = [...verbsChecks, ...directChecks, ...frameChecks]
