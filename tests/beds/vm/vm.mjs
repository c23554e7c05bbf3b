// Runs one command in a small VM with the features that this machine may lack: a kernel with SoftRoCE. The guest sees this
// machine's files (Node, rdma-core, the built project) under their own paths, may write to all of them without changing any,
// and has two rxe devices, rxe0 and rxe1, on the two ends of one wire, v0-v1.
//
//   const code = await runInVm(['ibv_devinfo', '-v'])
//
// Files that must outlive the VM go into $IBVERBS_RESULTS (option `results`). init.sh is the guest's side. Nothing on the
// host changes; QEMU ends with this process.

import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { delimiter, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { processorTime } from '../processor-time.mjs'
import { rememberRate, tscRate } from './clock.mjs'
import { image } from './image.mjs'
import { lastLines, readPort } from './output.mjs'
import { qemuArguments, usableAccelerators } from './qemu.mjs'

export const project = resolve(dirname(fileURLToPath(import.meta.url)), '../../..')

// Two processors: on a single one, two polling processes take turns of 4 ms (ib_send_lat: 4000 µs typical with one
// processor, 16 to 20 µs with two). Boot and a ping-pong in one process take the same time with either, on a host that has
// two to spare.
const defaultCpus = Math.min(2, availableParallelism())
const defaultMemory = 1024 // the host provides only the memory that the guest touches
const kvmBootSeconds = 20 // a working KVM boots in a few; after this, the next accelerator is tried

/** code: ENOENT (a program is missing), EBOOT, ECLOCK, ECRASH (the guest ended by itself), ETIMEDOUT. */
export class VmError extends Error {
  name = 'VmError'
  constructor(code, message, lines = []) {
    const console = lines.map((line) => `\n  | ${line}`).join('')
    super(console ? `${message}; the last lines of the guest's console:${console}` : message)
    this.code = code
  }
}

/**
 * Runs a command in the VM and returns its exit code (128 + N if signal N ended it).
 *
 * @param {string[]} argv
 * @param {object} [options]
 * @param {string} [options.cwd] a directory of this machine; by default the project's
 * @param {Record<string, string | undefined>} [options.env] added to a small standard environment
 * @param {number} [options.timeoutSeconds] boot included
 * @param {Sink} [options.stdout] a stream, a function that takes Buffers, or 'ignore'; process.stdout
 * @param {Sink} [options.stderr] likewise; process.stderr
 * @param {AbortSignal} [options.signal] ends the VM; rejects with the signal's reason
 * @param {string} [options.results] a directory for what the guest writes to $IBVERBS_RESULTS; made if need be
 * @param {number} [options.memory] megabytes
 * @param {number} [options.cpus]
 * @param {(line: string) => void} [options.log] receives a line for each preparation
 * @param {(cpuSeconds: number) => void} [options.onEnd] receives the processor seconds of each VM that ends
 * @typedef {import('node:stream').Writable | ((chunk: Buffer) => void) | 'ignore'} Sink
 * @returns {Promise<number>}
 */
export async function runInVm(argv, options = {}) {
  const { cwd = project, env = {}, timeoutSeconds = 600, signal, log = () => {} } = options
  const { memory = defaultMemory, cpus = defaultCpus } = options
  signal?.throwIfAborted()
  const started = Date.now()
  const setpriv = find('setpriv', 'util-linux')
  const qemu = find('qemu-system-x86_64', 'qemu-system-x86')
  const files = await image({ log, signal })

  sweep()
  const vm = { job: await mkdtemp(join(spaceless(tmpdir()), `ibverbs-vm-${process.pid}-`)), child: undefined }
  running.add(vm)
  hook()
  try {
    const token = randomBytes(16).toString('hex')
    const results = options.results === undefined ? join(vm.job, 'results') : resolve(options.results)
    await mkdir(results, { recursive: true })
    await writeFile(join(vm.job, 'token'), `${token}\n`)
    await writeFile(join(vm.job, 'command'), script(argv, resolve(cwd), env))
    await writeFile(join(vm.job, 'keep'), keep(resolve(cwd)))

    // Several attempts: a KVM may not boot, a clock may not calibrate.
    const accelerators = [...usableAccelerators(), 'tcg', 'tcg']
    for (const [i, accelerator] of accelerators.entries()) {
      signal?.throwIfAborted()
      const last = i === accelerators.length - 1
      const khz = accelerator === 'tcg' ? tscRate() : undefined
      const machine = { ...files, accelerator, job: vm.job, results, memory, cpus, khz }
      try {
        return await boot({
          vm,
          command: [setpriv, '--pdeathsig', 'KILL', '--', qemu, ...qemuArguments(machine)],
          token,
          stdout: options.stdout ?? process.stdout,
          stderr: options.stderr ?? process.stderr,
          onEnd: options.onEnd ?? (() => {}),
          signal,
          timeoutSeconds,
          deadline: started + timeoutSeconds * 1000,
          calibrate: accelerator === 'tcg' && khz === undefined,
          bootSeconds: accelerator === 'tcg' ? Number.POSITIVE_INFINITY : kvmBootSeconds,
        })
      } catch (error) {
        const again = error.code === 'ECLOCK' || (error.code === 'EBOOT' && accelerator === 'kvm')
        if (!again || last) throw error
        log(`VM: ${error.message.split(';')[0]} (${accelerator}); trying again with ${accelerators[i + 1]}`)
      }
    }
  } finally {
    end(vm)
    running.delete(vm)
    unhook()
  }
}

function boot({
  vm,
  command,
  token,
  stdout,
  stderr,
  onEnd,
  signal,
  timeoutSeconds,
  deadline,
  calibrate,
  bootSeconds,
}) {
  return new Promise((resolve, reject) => {
    // A session of its own: the terminal's Ctrl-C reaches this process alone, which ends the VM. SIGKILL cannot be caught:
    // then the kernel ends QEMU (pdeathsig).
    const child = spawn(command[0], command.slice(1), {
      stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe'],
      detached: true,
    })
    vm.child = child
    const [, , , outPort, errPort] = child.stdio
    const console = lastLines(60)
    child.stdout.on('data', console.add)
    child.stderr.on('data', console.add)

    let outcome // known before QEMU has ended; settled after
    const finish = (settle, value) => {
      if (outcome) return
      outcome = () => settle(value)
      for (const timer of timers) clearTimeout(timer)
      signal?.removeEventListener('abort', abort)
      onEnd(cpuSeconds(child))
      kill(child)
    }

    let booted = false
    let code
    let open = 2
    const begin = (khz) => {
      if (calibrate && khz === '0') {
        const message = 'the guest could not calibrate its clock (is this machine very busy?)'
        return finish(reject, new VmError('ECLOCK', message))
      }
      if (calibrate) rememberRate(khz)
      booted = true
      outPort.write(`${Date.now() / 1000}\n`)
    }
    const closed = () => {
      if (--open === 0) finish(resolve, code)
    }
    readPort(errPort, { token, extra: 0, sink: stderr, begin() {}, end: closed })
    readPort(outPort, {
      token,
      extra: 3,
      sink: stdout,
      begin,
      end(digits) {
        code = Number(digits)
        closed()
      },
    })

    const timedOut = async () => {
      errPort.write('dump\n') // the guest, if it still can, prints what it is doing to the console
      await new Promise((done) => setTimeout(done, 2000)) // no event: a guest that hangs may say nothing
      const doing = booted ? 'the command was still running' : 'the VM was still booting'
      finish(reject, new VmError('ETIMEDOUT', `${doing} after ${timeoutSeconds} s`, console.lines()))
    }
    const noBoot = () => {
      if (!booted) finish(reject, new VmError('EBOOT', `no boot within ${bootSeconds} s`, console.lines()))
    }
    const timers = [setTimeout(timedOut, Math.max(0, deadline - Date.now()))]
    if (Number.isFinite(bootSeconds)) timers.push(setTimeout(noBoot, bootSeconds * 1000))

    const abort = () => finish(reject, signal.reason)
    signal?.addEventListener('abort', abort)

    child.on('error', (error) => {
      finish(reject, error)
      outcome()
    })
    child.on('close', (status, killer) => {
      const how = `the VM ended by itself (QEMU ${killer ?? `exit code ${status}`})`
      finish(reject, new VmError(booted ? 'ECRASH' : 'EBOOT', how, console.lines()))
      outcome()
    })
  })
}

// --------------------------------------------------------- the guest's command

function script(argv, cwd, env) {
  const path = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']
  const all = {
    PATH: [dirname(process.execPath), ...path].join(delimiter),
    HOME: '/root',
    LANG: 'C.UTF-8',
    TMPDIR: '/tmp',
    ...Object.fromEntries(inherited.map((name) => [name, process.env[name]])),
    ...env,
    IBVERBS_VM: '1',
    IBVERBS_RESULTS: '/run/ibverbs/results',
  }
  const assignments = Object.entries(all)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${value}`)
  return `cd ${quote(cwd)} || exit 126\nexec env -i ${[...assignments, ...argv].map(quote).join(' ')}\n`
}

const inherited = ['CI', 'NO_COLOR', 'FORCE_COLOR', 'TZ']

const quote = (word) => `'${String(word).replaceAll("'", `'\\''`)}'`

/** Paths in /tmp that the guest must see although its /tmp is empty, one a line. */
function keep(cwd) {
  const wanted = new Set([project, cwd, resolve(process.execPath, '../..')])
  return [...wanted].map((path) => (/^\/tmp\/./.test(path) && existsSync(path) ? `${path}\n` : '')).join('')
}

// ------------------------------------------------------- leaving nothing behind

const running = new Set()

function end(vm) {
  if (vm.child) kill(vm.child)
  rmSync(vm.job, { recursive: true, force: true })
}

function cpuSeconds(child) {
  try {
    return processorTime(child.pid).own
  } catch {
    return 0 // it has ended
  }
}

/** Ends QEMU without a shutdown: the guest has no state to save. */
function kill(child) {
  if (child.pid && child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
}

const endAll = () => {
  for (const vm of running) end(vm)
}

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP']

function onSignal(name) {
  if (process.listenerCount(name) > 1) return // another handler decides: exit (below) or signal.abort()
  endAll()
  process.off(name, onSignal)
  process.kill(process.pid, name)
}

function hook() {
  if (running.size !== 1) return
  process.on('exit', endAll)
  for (const name of signals) process.on(name, onSignal)
}

function unhook() {
  if (running.size !== 0) return
  process.off('exit', endAll)
  for (const name of signals) process.off(name, onSignal)
}

/** Removes directories of processes that were killed before they could do so. */
function sweep() {
  const directory = spaceless(tmpdir())
  for (const name of readdirSync(directory)) {
    const pid = /^ibverbs-vm-(\d+)-/.exec(name)?.[1]
    if (pid && !existsSync(`/proc/${pid}`)) rmSync(join(directory, name), { recursive: true, force: true })
  }
}

// ---------------------------------------------------------------------- tools

/** The job's path is a word of the kernel's command line. */
const spaceless = (path) => (/\s/.test(path) ? '/tmp' : path)

function find(command, packageName) {
  const path = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/bin', '/sbin', '/bin']
  const found = path.map((directory) => join(directory, command)).find((candidate) => existsSync(candidate))
  if (!found) throw new VmError('ENOENT', `${command} not found: install the package ${packageName}`)
  return found
}
