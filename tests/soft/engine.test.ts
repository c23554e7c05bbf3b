// The NIC engine of the software ConnectX without Node: C++ tests that step it by hand, built here and run one by one.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { spawnSync } from '../beds/child.js'
import { buildEngine } from './engine/build.js'

const sources = join(import.meta.dirname, 'engine')
let program: string

const suites = readdirSync(sources)
  .filter((file) => file.endsWith('_test.cc'))
  .map((file) => ({
    name: file.slice(0, -'_test.cc'.length),
    tests: [...readFileSync(join(sources, file), 'utf8').matchAll(/^TEST\((\w+)\)/gm)].map(
      (match) => match[1],
    ),
  }))

beforeAll(() => {
  program = buildEngine('engine_tests')
}, 300_000)

for (const suite of suites) {
  describe(suite.name, () => {
    for (const name of suite.tests) {
      test(name.replaceAll('_', ' '), () => {
        const run = spawnSync(program, [name], { encoding: 'utf8' })
        expect(run.stderr).toBe('')
        expect(run.signal).toBe(null)
        expect(run.stdout).toBe(`ok ${name}\n`)
      })
    }
  })
}
