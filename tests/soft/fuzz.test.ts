// Fuzzes everything that a program can write where the software ConnectX reads: WQEs, receive WQEs, SRQ links, doorbell
// records, frames. Every run replays the corpus; `npm run test:long` looks for new inputs, with libFuzzer where clang
// is installed, and under AddressSanitizer and UndefinedBehaviorSanitizer in any case.

import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { spawnSync } from '../beds/child.js'
import { buildEngine } from './engine/build.js'

const corpus = join(import.meta.dirname, 'engine/corpus')
const long = process.env.IBVERBS_LONG === '1'
const seconds = 300

function run(command: string, args: string[]): string {
  const result = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 26, timeout: 1_200_000 })
  expect(result.signal, result.stderr).toBe(null)
  expect(result.status, result.stderr).toBe(0)
  return result.stdout
}

test('the corpus and some inputs from a seed change nothing outside a region that allows it', {
  timeout: 300_000,
}, () => {
  const replay = buildEngine('fuzz_replay')
  const files = readdirSync(corpus).length
  expect(files).toBeGreaterThan(100)
  expect(run(replay, [corpus, '--runs', '200'])).toBe(`${files} files, 200 runs\n`)
})

test.runIf(long)('the same under sanitizers, with more inputs', { timeout: 900_000 }, () => {
  const options = ['-DENGINE_SANITIZE=ON', '-DCMAKE_BUILD_TYPE=RelWithDebInfo']
  const replay = buildEngine('fuzz_replay', { folder: 'engine-asan', options })
  expect(run(replay, [corpus, '--runs', '5000', '--seed', String(process.pid)])).toMatch(/, 5000 runs\n$/)
})

const clang = spawnSync('clang++', ['--version']).status === 0

test.runIf(long && clang)('libFuzzer finds nothing', { timeout: 1_800_000 }, () => {
  const options = ['-DENGINE_FUZZ=ON', '-DCMAKE_BUILD_TYPE=RelWithDebInfo']
  const fuzzer = buildEngine('fuzz_wqe', { folder: 'engine-fuzz', options, env: { CXX: 'clang++' } })
  const folder = mkdtempSync(join(tmpdir(), 'soft-fuzz-'))
  try {
    const limits = ['-max_len=1024', `-max_total_time=${seconds}`, `-artifact_prefix=${folder}/`]
    run(fuzzer, [folder, corpus, ...limits])
    expect(readdirSync(folder).filter((file) => /^(crash|leak|timeout|oom)-/.test(file))).toEqual([])
  } finally {
    rmSync(folder, { recursive: true })
  }
})
