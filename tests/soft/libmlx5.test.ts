// The unmodified libibverbs and libmlx5 of the distribution on the software ConnectX, from C++: what verbs offer to raw
// Ethernet and TypeScript does not use yet (TSO, work queues with RSS, extended completion queues).
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { buildEngine } from './engine/build.js'

const source = readFileSync(join(import.meta.dirname, 'engine/libmlx5_program.cc'), 'utf8')
const library = join(import.meta.dirname, '../../build/Release/libibverbs_soft.so')
let program: string

beforeAll(() => {
  program = buildEngine('libmlx5_program')
}, 300_000)

test.each([...source.matchAll(/^TEST\((\w+)\)/gm)].map((match) => match[1]))('%s', (name) => {
  const env = { ...process.env, LD_PRELOAD: library, IBVERBS_SOFT: 'loop' }
  const run = spawnSync(program, [name], { encoding: 'utf8', env, timeout: 25_000 })
  expect(run.stderr.replaceAll(/^(mlx5: .*got completion with error:|[0-9a-f ]{35})\n/gm, '')).toBe('')
  expect(run.stdout).toBe(`ok ${name}\n`)
})
