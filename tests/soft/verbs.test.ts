// What verbs promise (the man pages, the InfiniBand specification, the kernel), seen by programs of libibverbs' own calls on
// the software ConnectX. The same program runs on SoftRoCE, VERBS_DEVICE=rxe0: where that differs, a test says so.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { spawnSync } from '../beds/child.js'
import { buildEngine } from './engine/build.js'

const sources = join(import.meta.dirname, 'verbs')
const library = join(import.meta.dirname, '../../build/Release/libibverbs_soft.so')
let program = ''

/** The device that a file's tests want; a plain loop for all others. */
const devices: Record<string, string> = { limits: 'loop?maxObjects=5' }

const suites = readdirSync(sources)
  .filter((file) => file.endsWith('_test.cc'))
  .map((file) => ({
    name: file.slice(0, -'_test.cc'.length),
    tests: [...readFileSync(join(sources, file), 'utf8').matchAll(/^TEST\((\w+)\)/gm)].map(
      (match) => match[1],
    ),
  }))

beforeAll(() => {
  program = buildEngine('verbs_tests')
}, 300_000)

for (const suite of suites) {
  describe(suite.name, () => {
    for (const name of suite.tests) {
      test(name.replaceAll('_', ' '), () => {
        const env = { ...process.env, IBVERBS_SOFT: devices[suite.name] ?? 'loop', LD_PRELOAD: library }
        const run = spawnSync(program, [name], { encoding: 'utf8', env, timeout: 25_000 })
        expect(run.stderr).toBe('')
        expect(run.signal).toBe(null)
        expect(run.stdout).toBe(`ok ${name}\n`)
      })
    }
  })
}
