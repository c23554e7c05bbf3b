// Runs the tests of engine/idle_program.cc: idle queue pairs, rung by libmlx5 while the NIC's own thread runs.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { spawnSync } from '../beds/child.js'
import { buildEngine } from './engine/build.js'

const source = readFileSync(join(import.meta.dirname, 'engine/idle_program.cc'), 'utf8')
const library = join(import.meta.dirname, '../../build/Release/libibverbs_soft.so')

export const idleTests = [...source.matchAll(/^TEST\((\w+)\)/gm)].map((match) => match[1]!)

export function buildIdleProgram(): string {
  return buildEngine('idle_program')
}

export function runIdleTest(program: string, name: string, turns: number) {
  const env = { ...process.env, IBVERBS_SOFT: 'loop', LD_PRELOAD: library, TURNS: String(turns) }
  const { stdout, stderr, signal } = spawnSync(program, [name], { encoding: 'utf8', env })
  return { stdout, stderr, signal }
}
