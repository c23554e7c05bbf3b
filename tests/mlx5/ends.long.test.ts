/** Two hundred processes in direct traffic that end in each way. */
import { describe, test } from 'vitest'
import { endOf, ways } from './ends.js'

/** Of each way with each program, of which there are two: 200 in all. */
const each = 200 / (2 * ways.length)
/** Processes at a time. */
const together = 3

describe.each(['rings', 'queues'] as const)('processes whose %s are in direct traffic', (program) => {
  test.each(ways)(
    `${each} end by %s, ${together} at a time, and none crashes`,
    {
      timeout: 600_000,
    },
    async (way) => {
      let left = each
      const one = async (): Promise<void> => {
        while (left-- > 0) await endOf(program, way)
      }
      await Promise.all(Array.from({ length: together }, one))
    },
  )
})
