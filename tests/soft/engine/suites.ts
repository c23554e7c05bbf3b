import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { spawnSync } from '../../beds/child.js'
import { buildEngine } from './build.js'

interface Suite {
  /** of its file, NAME_test.cc */
  name: string
  tests: string[]
}

/** The built test program, once the tests run, and the suites in it. */
export interface Program {
  path: string
  suites: Suite[]
}

/**
 * One test for each TEST(name) of the C++ files in a folder, run by itself in a process of its own.
 *
 * @param folder of the NAME_test.cc files
 * @param target of tests/soft/engine/CMakeLists.txt that links them
 * @param environment of a suite's tests, in addition to this process's
 */
export function testSuites(
  folder: string,
  target: string,
  environment: (suite: string) => Record<string, string> = () => ({}),
): Program {
  const suites = readdirSync(folder)
    .filter((file) => file.endsWith('_test.cc'))
    .map((file) => ({ name: file.slice(0, -'_test.cc'.length), tests: testsIn(join(folder, file)) }))
  const program = { path: '', suites }
  beforeAll(() => {
    program.path = buildEngine(target)
  }, 300_000)
  for (const suite of suites) {
    describe(suite.name, () => {
      for (const name of suite.tests) {
        test(name.replaceAll('_', ' '), () => {
          const env = { ...process.env, ...environment(suite.name) }
          const run = spawnSync(program.path, [name], { encoding: 'utf8', env, timeout: 60_000 })
          expect(run.stderr).toBe('')
          expect(run.signal).toBe(null)
          expect(run.stdout).toBe(`ok ${name}\n`)
        })
      }
    })
  }
  return program
}

function testsIn(file: string): string[] {
  return [...readFileSync(file, 'utf8').matchAll(/^TEST\((\w+)\)/gm)].map((match) => match[1])
}
