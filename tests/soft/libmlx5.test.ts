// The distribution's unmodified libibverbs and libmlx5 on the software ConnectX, from C++: features of verbs that
// TypeScript does not use yet (TSO, work queues with RSS, extended completion queues, memory windows, and the forms that
// mlx5dv.h gives a fast driver).

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { spawnSync } from '../beds/child.js'
import { buildEngine } from './engine/build.js'

const sources = ['raw', 'rdma', 'forms'].map((subject) => `engine/libmlx5_${subject}_program.cc`)
const library = join(import.meta.dirname, '../../build/Release/libibverbs_soft.so')
let program: string

beforeAll(() => {
  program = buildEngine('libmlx5_program')
}, 300_000)

const names = sources.flatMap((source) => {
  const text = readFileSync(join(import.meta.dirname, source), 'utf8')
  return [...text.matchAll(/^TEST\((\w+)\)/gm)].map((match) => match[1])
})

describe.each([
  { what: 'as it is', environment: { IBVERBS_SOFT: 'loop' } },
  { what: 'with 18 bytes that must be inline', environment: { IBVERBS_SOFT: 'loop?minimumInline=18' } },
  { what: 'with CQEs of 128 bytes', environment: { IBVERBS_SOFT: 'loop', MLX5_CQE_SIZE: '128' } },
])('$what', ({ environment }) => {
  test.each(names)('%s', (name) => {
    const env = { ...process.env, ...environment, LD_PRELOAD: library }
    const run = spawnSync(program, [name], { encoding: 'utf8', env, timeout: 25_000 })
    expect(run.stderr).toBe('')
    expect(run.stdout).toBe(`ok ${name}\n`)
  })
})
