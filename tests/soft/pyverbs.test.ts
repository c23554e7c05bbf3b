/**
 * The test suite of rdma-core's Python binding on the software ConnectX: run by hand, where its source is available (no
 * Debian package has it).
 *
 *   git clone --branch v44.0 … rdma-core; apt-get install python3-pyverbs
 *   IBVERBS_PYVERBS=/path/to/rdma-core npx vitest run tests/soft/pyverbs.test.ts
 *
 * pyverbs.txt lists the passing tests; it may only grow.
 */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { softLibraryPath } from 'ibverbs/soft'
import { expect, test } from 'vitest'
import { spawnSync } from '../beds/child.js'

const source = process.env.IBVERBS_PYVERBS
const expected = readFileSync(join(import.meta.dirname, 'pyverbs.txt'), 'utf8')
  .trim()
  .split('\n')

test.skipIf(source === undefined)(
  'every test that passed passes',
  () => {
    const modules = [...new Set(expected.map((name) => `tests.${name.split('.')[0]}`))]
    const { stderr } = spawnSync(
      '/usr/bin/python3', // the one that Debian's python3-pyverbs is for
      ['tests/run_tests.py', '-v', '--dev', 'mlx5_soft0', ...modules],
      {
        cwd: source,
        encoding: 'utf8',
        env: { ...process.env, IBVERBS_SOFT: 'loop', LD_PRELOAD: softLibraryPath() },
      },
    )
    // unittest prints the name, perhaps a line of description and the test's output, and the verdict.
    const passed = [...stderr.matchAll(/^test_\w+ \(tests\.([\w.]+)\)(.*?)(?=^test_|^[-=]{20})/gms)]
      .filter(([, , rest]) => /(^|\s)ok$/m.test(rest))
      .map(([, name]) => name)
    expect(expected.filter((name) => !passed.includes(name))).toEqual([])
  },
  300_000,
)
