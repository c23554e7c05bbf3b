import { beforeAll, expect, test } from 'vitest'
import { buildIdleProgram, idleTests, runIdleTest } from './idle.js'

let program: string

beforeAll(() => {
  program = buildIdleProgram()
}, 300_000)

test.each(idleTests)(
  '%s, a million',
  (name) => {
    expect(runIdleTest(program, name, 1_000_000)).toEqual({
      stdout: `ok ${name}\n`,
      stderr: '',
      signal: null,
    })
  },
  1_200_000,
)
