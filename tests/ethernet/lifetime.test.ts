/** Opened and closed queues leave no resources behind. */
import { describe, expect, test } from 'vitest'
import { census } from './census.js'
import { addressing, on } from './traffic.js'

describe.each(addressing)('%s', (backend) => {
  const { pair } = on(backend)

  test(
    '200 queues opened, used, waited for and closed leave nothing',
    async () => {
      using veth = pair()
      const { before, after } = await census('cycles.mjs', veth.a, veth.b, backend)
      expect(after).toEqual(before)
    },
    process.env.IBVERBS_LONG ? 600_000 : undefined,
  )
})
