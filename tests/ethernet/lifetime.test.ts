/** Opened and closed queues leave no resources behind. */
import { describe, expect, test } from 'vitest'
import { softPair } from '../beds/soft-pair.js'
import { census } from './census.js'
import { command, programPath } from './program.js'
import { addressing, backends, on } from './traffic.js'

/** Runs few-descriptors.mjs. */
async function withFewDescriptors(...words: string[]) {
  const node = [process.execPath, '--expose-gc', programPath('few-descriptors.mjs'), ...words]
  const { code, output } = await command('sh', '-c', 'ulimit -n 200; exec "$@"', 'sh', ...node)
  expect(code, output).toBe(0)
  const { failures, left } = JSON.parse(output) as {
    failures: Record<string, number>
    left: { before: object; after: object }[]
  }
  return { failures, before: left.map((one) => one.before), after: left.map((one) => one.after) }
}

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

describe('a queue that cannot be opened for want of descriptors leaves nothing', () => {
  test.each(backends)('%s', async (backend) => {
    using veth = on(backend).pair()
    const { failures, before, after } = await withFewDescriptors(veth.a, backend)
    // At every step, among them the reading of a hot file, open(2), when the device is open already.
    expect(failures).toMatchObject({ socket: expect.any(Number), open: expect.any(Number) })
    expect(before.every((resources) => (resources as { free: number }).free === 256)).toBe(true)
    expect(after).toEqual(before)
  })

  test('completion queue', async () => {
    using ports = softPair()
    const { failures, before, after } = await withFewDescriptors(ports.a.slice(0, -2))
    expect(failures).toEqual({ open: expect.any(Number) })
    expect(after).toEqual(before)
  })
})
