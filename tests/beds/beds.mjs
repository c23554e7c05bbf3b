// The test beds: the files that each runs, its environment and its requirements.

import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { runCommand } from './command.mjs'
import { readOutcome } from './outcome.mjs'
import { filters } from './places.mjs'
import { project, runInVm } from './vm/vm.mjs'

const folder = join(project, 'build/test')

/** An empty file for the reports of a bed's rounds. */
function reportFile(name, variant) {
  mkdirSync(folder, { recursive: true })
  const file = join(folder, `${name}${variant.title ? `-${variant.title}` : ''}.jsonl`)
  rmSync(file, { force: true })
  return file
}

const rounds = (out, bed, { files, repeat = 1 }, ...more) => [
  join(project, 'tests/beds/rounds.mjs'),
  ...['--out', out, '--repeat', String(repeat)],
  ...more,
  ...filters(bed, files),
]

/** Runs a bed's files on this machine, with `prefix` before the command. */
async function runHere(bed, context, { prefix = [], env = {}, exclude = [] } = {}) {
  const { variant, signal } = context
  const file = reportFile(bed, variant)
  const left = exclude.flatMap((glob) => ['--exclude', glob])
  // If the runner is killed, its children must not survive it.
  const mortal = ['setpriv', '--pdeathsig', 'KILL', '--', ...prefix]
  const code = await runCommand([...mortal, variant.node, ...rounds(file, bed, context, ...left)], {
    env: { ...variant.env, ...env },
    signal,
  })
  return readOutcome(file, code)
}

/** Runs a command that passes or fails as a whole. */
async function check(argv, { signal }) {
  const code = await runCommand(argv, { signal })
  return {
    passed: code === 0 ? 1 : 0,
    failed: code === 0 ? 0 : 1,
    skipped: 0,
    failures: code === 0 ? [] : [''],
  }
}

/** A network namespace for the tests: it takes everything created in it with it, however the tests end. */
const root = process.getuid() === 0
const namespace = root
  ? ['unshare', '--net', '--mount']
  : ['unshare', '--map-current-user', '--keep-caps', '--net', '--mount']

// Addresses without an IPv4 GID, and rxe's MTU: as the tests expect from the VM. Tests of the kernel stay there.
const softPort = (last) => `pair:a@02:01:00:00:00:0${last}?mtu=1024`
const softPorts = { IBVERBS_SOFT: `${softPort(1)};${softPort(2)}` }

export const beds = {
  lint: {
    what: 'Biome, clang-format, and no module that awaits at its top level',
    needs: ['build'],
    run: (context) => check(['npm', 'run', '--silent', 'lint'], context),
  },
  types: {
    what: 'tests and configuration under tsc',
    needs: ['build'],
    run: (context) => check(['npm', 'run', '--silent', 'typecheck'], context),
  },
  native: {
    what: 'what needs neither device nor privilege',
    needs: ['build'],
    run: (context) => runHere('native', context, { exclude: context.variant.exclude }),
  },
  pages: {
    what: 'the pages that commands write, in a headless Chromium',
    needs: ['build', 'rdma', 'pages'],
    run: (context) => runHere('pages', context),
  },
  ethernet: {
    what: 'packet queues on veth pairs, in a network namespace of its own, and on software ConnectX',
    needs: ['build', 'rdma'],
    run: (context) => runHere('ethernet', context, { prefix: namespace }),
  },
  soft: {
    what: 'verbs on two software ConnectX that are joined, with this machine’s own libibverbs and libmlx5',
    needs: ['build', 'rdma'],
    run: (context) => runHere('soft', context, { env: softPorts }),
  },
  driven: {
    what: 'the same, with the driver of ibverbs/mlx5 in place of libibverbs (driven.ts)',
    needs: ['build', 'rdma'],
    run: (context) => runHere('driven', context, { env: { ...softPorts, IBVERBS_DRIVEN: '1' } }),
  },
  rxe: {
    what: 'verbs on SoftRoCE, and the kernel’s VLAN, VXLAN and GRE devices, in the VM',
    needs: ['build', 'rdma', 'vm'],
    beside: true,
    async run(context) {
      const { variant, signal, repeat = 1, files, output } = context
      let cpuSeconds = 0
      // The guest sees the project through an overlay, so it writes the report into the shared folder.
      const results = join(folder, 'rxe')
      mkdirSync(results, { recursive: true })
      const inside = join(results, 'report.jsonl')
      rmSync(inside, { force: true })
      const argv = rounds(
        '$IBVERBS_RESULTS/report.jsonl',
        'rxe',
        context,
        '--no-isolate',
        '--max-workers',
        '1',
      )
      const command = [variant.node, ...argv].map((word) => `"${word}"`).join(' ')
      // All rounds share one VM.
      const again = (repeat - 1) * (files ? 120 * files.length : variant.vmSeconds)
      const code = await runInVm(['sh', '-c', command], {
        results,
        signal,
        timeoutSeconds: variant.vmSeconds + again,
        env: variant.env,
        stdout: output.stdout,
        stderr: output.stderr,
        log: (line) => output.stdout(`vm: ${line}\n`),
        onEnd(seconds) {
          cpuSeconds += seconds
        },
      }).catch((error) => {
        output.stderr(`${error.message}\n`)
        return error
      })
      if (typeof code === 'number') return { ...readOutcome(inside, code), cpuSeconds }
      return { ...readOutcome(inside, 1), cpuSeconds, problem: code.message.split('\n')[0] }
    },
  },
}
