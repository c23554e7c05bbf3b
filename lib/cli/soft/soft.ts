/** `ibverbs soft`: runs any program with software ConnectX devices. */
import { basename } from 'node:path'
import type { Command } from '../command.js'
import { ExitCode } from '../exit-code.js'
import type { Session } from '../session.js'
import { parse, UsageError, wordOption } from '../usage.js'

const options = {
  wire: {
    type: 'string',
    short: 'w',
    multiple: true,
    argument: 'WIRE',
    help: "a device and its ports' wires, or several; 'loop' by default",
  },
  by: {
    type: 'string',
    argument: 'WAY',
    help: 'mount or preload; by default the first that works (-v says which)',
  },
  verbose: { type: 'boolean', short: 'v', help: 'say which way, and why' },
} as const

const ways = ['mount', 'preload'] as const

export const soft: Command = {
  name: 'soft',
  summary: 'run any verbs program on software ConnectX devices',
  synopsis: ['[-w WIRE] [--by WAY] [-v] -- PROGRAM [ARGUMENTS]'],
  description: `
Runs a program that uses libibverbs as if the machine had ConnectX NICs, mlx5_soft0, mlx5_soft1 and
so on, without hardware, kernel module or privilege. The program, libibverbs and libmlx5 are the
installed ones: they write real work queue entries, and a NIC, a thread of the program, answers.

It becomes the program: exit code, signals, terminal and working directory are the program's; 127 is
no such program, 126 one that cannot be run. IBVERBS_SOFT, IBVERBS_SOFT_CARD and LD_PRELOAD are set
for it, behind an LD_PRELOAD that was there. Its way to the devices is, if that is allowed, a mount
namespace with them in /sys, which static programs and shell scripts read as well; else LD_PRELOAD
alone. Their device files answer only programs that are linked dynamically.

WIRE connects the ports: loop (a port to itself), pair (two devices to each other), socket:PATH (a
port here to one of another program), interface:NAME (of this machine).
Several devices and ports: ';' or another -w begins another device, '+' another port; pair:NAME
joins the two that name it. '@' gives a port its MAC address, '?' its options:
loop@02:00:0a:00:00:01?loss=0.01&delay=5000&seed=3 (also bandwidth, jitter, duplicate, reorder,
queue, mtu, minimumInline, maxObjects). loop?strict finds a program that forgets a doorbell register
or writes it before the record, which hangs on a card: QP_FATAL or CQ_ERR, and words on standard
error. softConnectX() and IBVERBS_SOFT spell wires and options the same.`,
  options,
  examples: [
    ['ibverbs soft -- ibv_devinfo -v', 'what there is'],
    ['ibverbs soft -w socket:/tmp/wire -- ibv_rc_pingpong -g 0', 'the first of two'],
    ['ibverbs soft -w socket:/tmp/wire -- ibv_rc_pingpong -g 0 localhost', 'the second'],
    ['ibverbs soft -- python3 test.py', 'a program of your own'],
  ],
  run,
}

async function run(args: readonly string[], session: Session): Promise<ExitCode> {
  const { values, positionals } = parse(args, options)
  const [program] = positionals
  if (program === undefined) throw new UsageError('the program is missing')
  const way = wordOption('--by', values.by, ways)
  if (basename(program) === 'rdma') {
    session.complain(
      'rdma of iproute2 asks the kernel by netlink, which knows no software devices; ibv_devinfo and ibstat see them',
    )
    return ExitCode.failed
  }
  const { becomeProgram } = await import('../../soft/library.js')
  try {
    return becomeProgram(positionals, {
      way: way ?? 'auto',
      verbose: values.verbose ?? false,
      environment: {
        ...process.env,
        IBVERBS_SOFT: values.wire?.join(';') ?? process.env.IBVERBS_SOFT ?? 'loop',
      },
    })
  } catch (error) {
    session.complain((error as Error).message)
    return ExitCode.failed
  }
}
