// The test beds: what each runs, where, and what it needs.

import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { runCommand } from './command.mjs'
import { project, runInVm } from './vm/vm.mjs'

const folder = join(project, 'build/test')
const vitest = join(project, 'node_modules/vitest/vitest.mjs')

/** vitest's own summary of a run, as it writes it with --reporter=json. */
function summary(file, code) {
  let json
  try {
    json = JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return { problem: `vitest ended with code ${code} and no report` }
  }
  const result = {
    passed: json.numPassedTests,
    failed: json.numFailedTests,
    skipped: json.numPendingTests + json.numTodoTests,
  }
  // A file that does not even load has no failed test, and an unhandled rejection belongs to none.
  if (code !== 0 && result.failed === 0) result.problem = `vitest ended with code ${code}`
  if (code === 0 && result.passed === 0) result.problem = 'no test was run'
  return result
}

function reportFile(name, variant) {
  mkdirSync(folder, { recursive: true })
  const file = join(folder, `${name}${variant.title ? `-${variant.title}` : ''}.json`)
  rmSync(file, { force: true })
  return file
}

const vitestArguments = (file, ...more) => [
  vitest,
  'run',
  '--root',
  project,
  '--reporter=default',
  '--reporter=json',
  `--outputFile.json=${file}`,
  ...more,
]

/** A command that passes or fails as a whole. */
async function check(argv, { signal }) {
  const code = await runCommand(argv, { signal })
  return { passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, skipped: 0 }
}

/** A network namespace of the tests' own: what is made in it goes with it, however the tests end. */
const root = process.getuid() === 0
const namespace = root
  ? ['unshare', '--net', '--mount']
  : ['unshare', '--map-current-user', '--keep-caps', '--net', '--mount']

export const beds = {
  lint: {
    what: 'Biome',
    needs: ['build'],
    run: (context) =>
      check([process.execPath, join(project, 'node_modules/.bin/biome'), 'check', '.'], context),
  },
  types: {
    what: 'tests and configuration under tsc',
    needs: ['build'],
    run: (context) =>
      check(
        [process.execPath, join(project, 'node_modules/.bin/tsc'), '-p', 'tests/tsconfig.json', '--noEmit'],
        context,
      ),
  },
  native: {
    what: 'what needs neither device nor privilege',
    needs: ['build'],
    async run({ variant, signal }) {
      const file = reportFile('native', variant)
      const exclude = ['tests/ethernet/**', 'tests/verbs/**', ...(variant.exclude ?? [])].flatMap((glob) => [
        '--exclude',
        glob,
      ])
      const code = await runCommand([variant.node, ...vitestArguments(file, ...exclude)], {
        env: variant.env,
        signal,
      })
      return summary(file, code)
    },
  },
  ethernet: {
    what: 'packet queues on veth pairs, in a network namespace of its own, and on software ConnectX',
    needs: ['build', 'rdma'],
    async run({ variant, signal }) {
      const file = reportFile('ethernet', variant)
      const code = await runCommand(
        [
          ...namespace,
          variant.node,
          ...vitestArguments(file, 'tests/ethernet', '--exclude', 'tests/ethernet/vm/**'),
        ],
        {
          env: variant.env,
          signal,
        },
      )
      return summary(file, code)
    },
  },
  soft: {
    what: 'verbs on two software ConnectX that are joined, with this machine’s own libibverbs and libmlx5',
    needs: ['build', 'rdma'],
    async run({ variant, signal }) {
      const file = reportFile('soft', variant)
      // Addresses without an IPv4 GID, and rxe's MTU: as the tests know it of the VM. What is the kernel's own stays there.
      const port = (last) => `pair:a@02:01:00:00:00:0${last}?mtu=1024`
      const kernels = ['device', 'cli-devices', 'cli-ping', 'events', 'soft-rxe'].flatMap((name) => [
        '--exclude',
        `tests/verbs/${name}.test.ts`,
      ])
      const code = await runCommand([variant.node, ...vitestArguments(file, ...kernels, 'tests/verbs/')], {
        env: { ...variant.env, IBVERBS_SOFT: `${port(1)};${port(2)}` },
        signal,
      })
      return summary(file, code)
    },
  },
  rxe: {
    what: 'verbs on SoftRoCE, and the kernel’s VLAN, VXLAN and GRE devices, in the VM',
    needs: ['build', 'rdma', 'vm'],
    async run({ variant, signal }) {
      const file = reportFile('rxe', variant)
      // The guest may write to the project, but into an overlay: the report goes into the folder that is shared.
      const results = join(folder, 'rxe')
      mkdirSync(results, { recursive: true })
      const inside = join(results, 'report.json')
      rmSync(inside, { force: true })
      const argv = vitestArguments(
        '$IBVERBS_RESULTS/report.json',
        '--no-isolate',
        '--maxWorkers=1',
        'tests/verbs',
        'tests/ethernet/vm',
      )
      const command = [variant.node, ...argv].map((word) => `"${word}"`).join(' ')
      const code = await runInVm(['sh', '-c', command], {
        results,
        signal,
        timeoutSeconds: variant.vmSeconds,
        env: variant.env,
        log: (line) => console.log(`vm: ${line}`),
      })
      rmSync(file, { force: true })
      return summary(inside, code)
    },
  },
}
