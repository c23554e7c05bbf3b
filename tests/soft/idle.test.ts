import { beforeAll, expect, test } from 'vitest'
import { buildIdleProgram, idleTests, runIdleTest } from './idle.js'

let program: string

beforeAll(() => {
  program = buildIdleProgram()
}, 300_000)

test.each(idleTests)('%s', (name) => {
  expect(runIdleTest(program, name, 10_000)).toEqual({ stdout: `ok ${name}\n`, stderr: '', signal: null })
})
