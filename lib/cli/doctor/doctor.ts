/** `ibverbs doctor`: what works on this machine, what does not, and the remedy. */

import { table } from '../../lab/table.js'
import type { Command } from '../command.js'
import { ExitCode } from '../exit-code.js'
import type { Session } from '../session.js'
import { noMoreOperands, parse } from '../usage.js'
import type { Check } from './check.js'
import { kernelChecks } from './kernel-checks.js'
import { ethernetChecks, loadLibrary, pcapCheck, rdmaChecks, rdmaLibraryChecks } from './library-checks.js'
import { Machine } from './machine.js'
import { nodeCheck, processChecks } from './process-checks.js'

const options = {
  json: { type: 'boolean', help: 'print one JSON object: { ok, works: { ethernet, verbs }, checks }' },
} as const

export const doctor: Command = {
  name: 'doctor',
  summary: 'what works on this machine, what does not, and the remedy',
  synopsis: ['[--json]'],
  description: `
Checks the process (Node, capabilities, locked memory), the libraries, the kernel, the network
interfaces and the RDMA devices. Each line is ok, warn (works in part) or missing, with
the remedy below. Changes nothing.
Exit code 0 when at least one main path works: raw Ethernet frames, or RDMA verbs on an active port.
On other systems than Linux it says what works there.`,
  options,
  examples: [
    ['ibverbs doctor', 'a readable report'],
    ['ibverbs doctor --json', 'the same for a program'],
  ],
  run,
}

const titles: Readonly<Record<Check['group'], string>> = {
  process: 'Process',
  libraries: 'Libraries',
  kernel: 'Kernel',
  ethernet: 'Raw Ethernet',
  rdma: 'RDMA',
}

/** The results of all checks. */
export interface Diagnosis {
  /** Whether at least one of the main features works. */
  ok: boolean
  works: { ethernet: boolean; verbs: boolean }
  checks: Check[]
}

async function diagnose(machine: Machine): Promise<Diagnosis> {
  const library = await loadLibrary()
  if (process.platform !== 'linux') {
    // The checks below need Linux.
    const checks = [nodeCheck(), library.check]
    return { ok: false, works: { ethernet: false, verbs: false }, checks }
  }
  const ethernet = library.ethernet ? ethernetChecks(library.ethernet) : { checks: [], works: false }
  const rdma = library.verbs ? rdmaChecks(library.verbs, machine) : { checks: [], works: false }
  const checks = [
    ...processChecks(machine),
    library.check,
    ...(library.verbs ? rdmaLibraryChecks(library.verbs.libibverbsPath()) : []),
    ...(library.ethernet ? [pcapCheck(library.ethernet.pcapLibrary())] : []),
    ...kernelChecks(machine),
    ...ethernet.checks,
    ...rdma.checks,
  ]
  return { ok: ethernet.works || rdma.works, works: { ethernet: ethernet.works, verbs: rdma.works }, checks }
}

async function run(args: readonly string[], session: Session): Promise<ExitCode> {
  const { values, positionals } = parse(args, options)
  noMoreOperands(positionals, 0)
  const diagnosis = await diagnose(new Machine())
  if (values.json) session.print(JSON.stringify(diagnosis, null, 2))
  else report(diagnosis, session)
  return diagnosis.ok ? ExitCode.ok : ExitCode.failed
}

function report({ works, checks }: Diagnosis, session: Session): void {
  const { style } = session
  const marks = { ok: style.green('ok'), warn: style.yellow('warn'), missing: style.red('missing') }
  // One column width for all groups: tables of their own would shift from group to group.
  const longest = Math.max(...checks.map((check) => check.name.length))
  for (const group of Object.keys(titles) as Check['group'][]) {
    const own = checks.filter((check) => check.group === group)
    if (own.length === 0) continue
    session.print(style.bold(titles[group]))
    const rows = own.flatMap(({ status, name, detail, remedy }) => [
      [`  ${marks[status]}${' '.repeat('missing'.length - status.length)}`, name.padEnd(longest), detail],
      ...(remedy && status !== 'ok' ? [['', '', style.dim(`→ ${remedy}`)]] : []),
    ])
    session.print(table(rows))
    session.print()
  }
  const verdict = (good: boolean) => (good ? style.green('work here') : style.red('do not work here'))
  session.print(`Raw Ethernet frames ${verdict(works.ethernet)}.`)
  session.print(`RDMA verbs ${verdict(works.verbs)}.`)
}
