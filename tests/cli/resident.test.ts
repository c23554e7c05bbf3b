/** Repeated runs of the command line in one process, as in the VM's tests: a run leaves no state for the next. */
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { begin } from './resident.js'
import { ibverbs } from './run.js'

beforeAll(() => {
  vi.stubEnv('IBVERBS_VM', '1')
  vi.stubEnv('IBVERBS_SOFT', 'loop')
})
afterAll(() => {
  vi.unstubAllEnvs()
})

test.each([
  [['--version']],
  [['--help']],
  [[]],
  [['nothing']],
  [['devices', 'mlx5_0']],
  [['ping', '--help']],
])('%j prints the same as a process of its own, each time', async (args) => {
  const alone = await ibverbs(args)
  expect(await begin(args).finished).toEqual(alone)
  expect(await begin(args).finished).toEqual(alone)
})

const listen = ['ping', '--listen', '-p', '0', '-d', 'mlx5_soft0']

test('only the run receives a signal; SIGKILL ends its process, and the next run has another', async () => {
  for (let i = 0; i < 2; i++) {
    const run = begin(listen)
    await run.until(/on TCP port \d+/)
    run.child.kill('SIGINT')
    expect(await run.finished).toMatchObject({ code: 130, signal: null, stdout: '' })
  }
  const killed = begin(listen)
  await killed.until(/on TCP port \d+/)
  killed.child.kill('SIGKILL')
  expect(await killed.finished).toMatchObject({ code: null, signal: 'SIGKILL' })
  expect(await begin(['--version']).finished).toMatchObject({ code: 0 })
})

test('two at once are in two processes', async () => {
  const [one, other] = [begin(listen), begin(listen)]
  await Promise.all([one.until(/on TCP port/), other.until(/on TCP port/)])
  for (const { child } of [one, other]) child.kill('SIGTERM')
  expect((await one.finished).code).toBe(143)
  expect((await other.finished).code).toBe(143)
})
