/** `ibverbs soft`: runs any program with software ConnectX devices. */
import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import type { Command } from '../command.js'
import { ExitCode } from '../exit-code.js'
import type { Session } from '../session.js'
import { parse, UsageError } from '../usage.js'
import { preloadable } from './preload.js'

const options = {
  wire: {
    type: 'string',
    short: 'w',
    multiple: true,
    argument: 'WIRE',
    help: "a device and its ports' wires, or several; 'loop' by default",
  },
} as const

export const soft: Command = {
  name: 'soft',
  summary: 'run any verbs program on software ConnectX devices',
  synopsis: ['[-w WIRE] -- PROGRAM [ARGUMENTS]'],
  description: `
Runs a program that uses libibverbs as if the machine had ConnectX NICs, mlx5_soft0, mlx5_soft1 and
so on, without hardware, kernel module or privilege. The program, libibverbs and libmlx5 are the
installed ones: they write real work queue entries, and a NIC, a thread of the program, answers.
It sets IBVERBS_SOFT and LD_PRELOAD for the program and does nothing else.

WIRE connects the ports: loop (a port to itself), pair (two devices to each other), socket:PATH (a
port here to one of another program), interface:NAME (of this machine).
Several devices and ports: ';' or another -w begins another device, '+' another port; pair:NAME
joins the two that name it. '@' gives a port its MAC address, '?' its options:
loop@02:00:0a:00:00:01?loss=0.01&delay=5000&seed=3 (also bandwidth, jitter, duplicate, reorder,
queue, mtu, minimumInline, maxObjects). softConnectX() and IBVERBS_SOFT spell wires and
options the same.`,
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
  const [program, ...rest] = positionals
  if (program === undefined) throw new UsageError('the program is missing')
  const { softLibraryPath } = await import('../../soft/index.js')
  const library = preloadable(softLibraryPath())
  const child = spawn(program, rest, {
    stdio: 'inherit',
    env: {
      ...process.env,
      IBVERBS_SOFT: values.wire?.join(';') ?? process.env.IBVERBS_SOFT ?? 'loop',
      LD_PRELOAD: [library.path, process.env.LD_PRELOAD].filter(Boolean).join(':'),
    },
  })
  const end = () => child.kill('SIGTERM')
  session.signal.addEventListener('abort', end, { once: true })
  try {
    return await new Promise((resolve, reject) => {
      child.once('error', reject)
      // The program's own exit code, or a shell's code for a signal.
      child.once('exit', (code, signal) =>
        resolve((code ?? 128 + constants.signals[signal ?? 'SIGKILL']) as ExitCode),
      )
    })
  } catch (error) {
    session.complain(`${program}: ${(error as Error).message}`)
    return ExitCode.failed
  } finally {
    session.signal.removeEventListener('abort', end)
    library.remove()
  }
}
