/** Threads and processes that end while their queues wait leave nothing behind and crash nothing. */
import { describe, expect, test } from 'vitest'
import { census } from './census.js'
import { run } from './program.js'
import { addressing, on } from './traffic.js'

describe.each(addressing)('%s', (backend) => {
  const { pair } = on(backend)

  test('workers terminated while they wait in traffic leave nothing', async () => {
    using veth = pair()
    const { before, after, frames } = await census('terminated.mjs', veth.a, veth.b, backend)
    expect(after).toEqual(before)
    expect(frames).toBeGreaterThan(0)
  })

  test('a process that exits while workers and itself wait in traffic does not crash', async () => {
    using veth = pair()
    for (const how of ['exit', 'throw']) {
      const { code, output } = await run('exit.mjs', veth.a, veth.b, how, backend)
      expect(output.split('\n')[0]).toBe('going')
      expect(code).toBe(how === 'exit' ? 7 : 1)
    }
  })
})

test('workers terminated in the middle of a call that fails do not abort the process', async () => {
  expect(await run('failing.mjs')).toEqual({ code: 0, output: 'alive\n' })
})
