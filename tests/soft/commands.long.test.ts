/**
 * The uverbs front end under commands that no library would write: the fuzzer's corpus, and inputs from seeds, under
 * AddressSanitizer and UndefinedBehaviorSanitizer. In test:long, because it builds the front end a second time.
 *
 * To continue fuzzing: cmake -S tests/soft/commands -B build/commands -DCMAKE_CXX_COMPILER=clang++ -DCOMMANDS_FUZZ=ON,
 * build the target fuzz_commands, and give it tests/soft/commands/corpus.
 */

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { execFileSync, spawnSync } from '../beds/child.js'

const project = join(import.meta.dirname, '../..')
const sources = join(import.meta.dirname, 'commands')
const corpus = join(sources, 'corpus')
const build = join(project, 'build/commands')
const runs = 10_000

beforeAll(() => {
  execFileSync('cmake', ['-S', sources, '-B', build], {})
  execFileSync('cmake', ['--build', build, '--parallel', '2', '--target', 'fuzz_replay'], {
    timeout: 600_000,
  })
}, 600_000)

function replay(...args: string[]) {
  // The addon's own sanitizer run preloads a library that these programs must not have.
  const env = { ...process.env, LD_PRELOAD: '', IBVERBS_SOFT_DEBUG: undefined }
  return spawnSync(join(build, 'fuzz_replay'), args, { encoding: 'utf8', env, timeout: 1_200_000 })
}

test('the corpus of the fuzzer', () => {
  const files = readdirSync(corpus).length
  expect(files).toBeGreaterThan(100)
  const { stdout, stderr, status } = replay(corpus)
  expect([stdout, stderr, status]).toEqual([`${files} files, 0 runs\n`, '', 0])
}, 120_000)

test.each([1, 1_000_000])(
  'inputs from seed %i',
  (seed) => {
    const { stdout, stderr, status } = replay('--runs', String(runs), '--seed', String(seed))
    expect([stdout, stderr, status]).toEqual([`0 files, ${runs} runs\n`, '', 0])
  },
  1_200_000,
)
