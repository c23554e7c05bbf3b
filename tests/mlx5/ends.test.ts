/** The short form of ends.long.test.ts. */
import { describe, test } from 'vitest'
import { endOf, ways } from './ends.js'

describe.each(['rings', 'queues'] as const)('a process whose %s are in direct traffic', (program) => {
  test.each(ways)('ends by %s, three times, and does not crash', async (way) => {
    for (let i = 0; i < 3; i++) await endOf(program, way)
  })
})
