/** Processes that a test has started end with it, however it ends. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { spawnSync } from './child.js'
import { gone } from './over/processes.js'

/** Runs tests/beds/over/NAME.fixture.ts; returns vitest's output, the fixture's report, and the processes it named. */
function fixture(name: string) {
  const folder = mkdtempSync(join(tmpdir(), 'ibverbs-over-'))
  try {
    const file = join(folder, 'told')
    const words = ['--config', 'tests/beds/over/vitest.config.ts', `tests/beds/over/${name}.fixture.ts`]
    const { stdout, stderr } = spawnSync(
      process.execPath,
      ['node_modules/vitest/vitest.mjs', 'run', ...words],
      {
        encoding: 'utf8',
        env: { ...process.env, IBVERBS_OVER: file, NO_COLOR: '1' },
      },
    )
    const told = existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : []
    const pids = told.flatMap((line) => /^\w+ (\d+)$/.exec(line)?.[1] ?? []).map(Number)
    return {
      stdout,
      output: String(stdout) + String(stderr),
      told: told.filter((line) => !/\d$/.test(line)),
      pids,
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

test('a test that ran out of time or failed, and a file that ended', async () => {
  const { stdout, output, told, pids } = fixture('time')
  expect(stdout).toMatch(/Tests +2 failed \| 1 passed/)
  // What hung is told, with where it waits.
  expect(output).toMatch(
    /At the end of the failed test “[^”]+”:\nprocess \d+: .*\n +\S.* in \S+, system call/,
  )
  expect(told).toEqual(['second', 'first', 'next', 'end of the file'])
  expect(pids).toHaveLength(6)
  await gone(pids)
})

test('a test whose process was killed', async () => {
  const { stdout, pids } = fixture('killed')
  expect(stdout).toMatch(/Errors +1 error/)
  expect(pids).toHaveLength(2)
  await gone(pids)
})
