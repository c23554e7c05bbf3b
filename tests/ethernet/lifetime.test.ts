import { describe, expect, test } from 'vitest'
import { command, programPath, run } from './program.js'
import { addressing, on } from './traffic.js'

/**
 * Each in a process of its own, where nothing else opens descriptors. glibc's malloc is told to map what is large: once
 * it has seen a freed arena it would take the next from its heap, which does not shrink (mallopt(3)).
 */
async function census(
  name: string,
  ...words: string[]
): Promise<{ before: object; after: object; frames?: number }> {
  const node = ['MALLOC_MMAP_THRESHOLD_=1048576', process.execPath, '--expose-gc']
  const { code, output } = await command('env', ...node, programPath(name), ...words)
  expect(code, output).toBe(0)
  return JSON.parse(output)
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
    process.env.IBVERBS_LONG ? 600_000 : 60_000,
  )

  test('workers terminated while they wait in traffic leave nothing', async () => {
    using veth = pair()
    const { before, after, frames } = await census('terminated.mjs', veth.a, veth.b, backend)
    expect(after).toEqual(before)
    expect(frames).toBeGreaterThan(0)
  }, 60_000)

  test('a process that exits while workers and itself wait in traffic does not crash', async () => {
    using veth = pair()
    for (const how of ['exit', 'throw']) {
      const { code, output } = await run('exit.mjs', veth.a, veth.b, how, backend)
      expect(output.split('\n')[0]).toBe('going')
      expect(code).toBe(how === 'exit' ? 7 : 1)
    }
  }, 60_000)
})

test('workers terminated in the middle of a call that fails do not abort the process', async () => {
  expect(await run('failing.mjs')).toEqual({ code: 0, output: 'alive\n' })
}, 60_000)
