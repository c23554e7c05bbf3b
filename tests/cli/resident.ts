/**
 * The command line in processes that live through all tests of a file, for the VM, where a process takes seconds to start. A
 * run behaves like one in a process of its own (run.ts): it receives signals that it handles as messages; SIGKILL ends its
 * process.
 */

import { fileURLToPath } from 'node:url'
import { type ChildProcess, spawn } from '../beds/child.js'
import { onOver } from '../beds/over.js'
import { type Finished, Output, type Running, start } from './run.js'

const program = fileURLToPath(new URL('resident.mjs', import.meta.url))

/** Idle processes. */
const free: ChildProcess[] = []

interface Told {
  stdout?: string
  stderr?: string
  code?: number
}

class ResidentRun extends Output {
  readonly finished: Promise<Finished>
  readonly child: { kill(signal: NodeJS.Signals): boolean }

  constructor(args: readonly string[]) {
    super()
    const process = free.pop() ?? spawnForFile()
    this.child = {
      kill: (signal) => (signal === 'SIGKILL' ? process.kill(signal) : process.send({ signal })),
    }
    this.finished = new Promise((resolve) => {
      const end = (code: number | null, signal: NodeJS.Signals | null) => {
        process.off('message', told).off('exit', end)
        if (signal === null && code !== null && process.connected) free.push(process)
        this.ended({ code, signal, stdout: this.stdout, stderr: this.stderr }, resolve)
      }
      const told = ({ stdout, stderr, code }: Told) => {
        if (stdout !== undefined) this.add('stdout', Buffer.from(stdout, 'base64'))
        if (stderr !== undefined) this.add('stderr', Buffer.from(stderr, 'base64'))
        if (code !== undefined) end(code, null)
      }
      process.on('message', told).on('exit', end)
    })
    // A run that its test left unfinished keeps its process: no other run may use it.
    let done = false
    this.finished.then(() => {
      done = true
    })
    onOver(() => {
      if (!done) process.kill('SIGKILL')
    })
    process.send({ args })
  }
}

function spawnForFile(): ChildProcess {
  const child = spawn(globalThis.process.execPath, [program], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    env: { ...globalThis.process.env, NO_COLOR: undefined },
    outlivesTest: true,
  })
  // The process does not keep this one alive.
  child.unref()
  child.channel?.unref()
  child.once('exit', () => {
    const at = free.indexOf(child)
    if (at >= 0) free.splice(at, 1)
  })
  return child
}

/** Runs the command line: in a new process, or, in the VM, in an idle one. */
export function begin(args: readonly string[]): ResidentRun | Running {
  return globalThis.process.env.IBVERBS_VM ? new ResidentRun(args) : start(args)
}
