// Runs one command in a small VM that has what this machine may lack: a kernel
// with SoftRoCE. The guest sees this machine's files (Node, rdma-core, the built
// project) at their own paths, may write to all of them without changing any,
// and has two rxe devices, rxe0 and rxe1, on the two ends of one wire, v0-v1.
//
//   const code = await runInVm(['ibv_devinfo', '-v'])
//
// What is to outlive the VM goes into $IBVERBS_RESULTS (option `results`).
// init.sh is the guest's side. Nothing on the host is changed; QEMU dies with us.

import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { accessSync, constants, existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { delimiter, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { image } from './image.mjs'

export const project = resolve(dirname(fileURLToPath(import.meta.url)), '../../..')

export class VmError extends Error {
  name = 'VmError'
  constructor(code, message, lines = []) {
    super(
      lines.length > 0
        ? `${message}; the last lines of the guest's console:\n${lines.map((line) => `  | ${line}`).join('\n')}`
        : message,
    )
    this.code = code
  }
}

/**
 * Runs a command in the VM and returns its exit code (128 + N if signal N ended it).
 *
 * @param {string[]} argv
 * @param {object} [options]
 * @param {string} [options.cwd] a directory of this machine; the project's
 * @param {Record<string, string | undefined>} [options.env] added to a small standard environment
 * @param {number} [options.timeoutSeconds] boot included
 * @param {Sink} [options.stdout] a stream, a function that takes Buffers, or 'ignore'; process.stdout
 * @param {Sink} [options.stderr] likewise; process.stderr
 * @param {AbortSignal} [options.signal] ends the VM; rejects with the signal's reason
 * @param {string} [options.results] a directory for what the guest writes to $IBVERBS_RESULTS; made if need be
 * @param {number} [options.memory] megabytes
 * @param {number} [options.cpus]
 * @param {(line: string) => void} [options.log] told what is being prepared
 * @typedef {import('node:stream').Writable | ((chunk: Buffer) => void) | 'ignore'} Sink
 * @returns {Promise<number>}
 */
export async function runInVm(argv, options = {}) {
  const {
    cwd = project,
    env = {},
    timeoutSeconds = 600,
    stdout = process.stdout,
    stderr = process.stderr,
    signal,
    results,
    memory = 1024,
    cpus = Math.min(2, availableParallelism()),
    log,
  } = options
  signal?.throwIfAborted()
  const started = Date.now()
  const qemu = find('qemu-system-x86_64', 'qemu-system-x86')
  const setpriv = find('setpriv', 'util-linux')
  const { kernel, initramfs } = await image({ log })

  sweep()
  const job = await mkdtemp(join(spaceless(tmpdir()), `ibverbs-vm-${process.pid}-`))
  const vm = { job, child: undefined }
  running.add(vm)
  hook()
  try {
    const token = randomBytes(16).toString('hex')
    const shared = results === undefined ? join(job, 'results') : resolve(results)
    await mkdir(shared, { recursive: true })
    await writeFile(join(job, 'token'), `${token}\n`)
    await writeFile(join(job, 'command'), script(argv, resolve(cwd), env))
    await writeFile(
      join(job, 'keep'),
      keep(resolve(cwd))
        .map((path) => `${path}\n`)
        .join(''),
    )
    signal?.throwIfAborted()

    const args = qemuArguments({ kernel, initramfs, job, shared, memory, cpus })
    return await boot({
      vm,
      setpriv,
      qemu,
      args,
      token,
      stdout,
      stderr,
      signal,
      deadline: started + timeoutSeconds * 1000,
      timeoutSeconds,
    })
  } finally {
    end(vm)
    running.delete(vm)
    unhook()
  }
}

// -------------------------------------------------------------------- QEMU

function qemuArguments({ kernel, initramfs, job, shared, memory, cpus }) {
  const share = (id, path, more) => [
    ...['-fsdev', `local,id=${id},path=${comma(path)},security_model=none${more}`],
    ...['-device', `virtio-9p-pci,fsdev=${id},mount_tag=${id}`],
  ]
  const port = (name, fd) => [
    ...['-chardev', `socket,id=${name},fd=${fd}`],
    ...['-device', `virtserialport,chardev=${name},name=${name}`],
  ]
  return [
    '-nodefaults',
    '-no-user-config',
    '-no-reboot',
    ...['-display', 'none'],
    ...['-machine', 'q35,usb=off,vmport=off,smbus=off,sata=off,hpet=off'],
    ...(hasKvm()
      ? ['-accel', 'kvm', '-cpu', 'host']
      : ['-accel', 'tcg,thread=multi,tb-size=256', '-cpu', 'max']),
    ...['-smp', String(cpus), '-m', String(memory)],
    ...['-bios', 'qboot.rom', '-kernel', kernel, '-initrd', initramfs],
    ...['-append', `console=ttyS0 ${kernelOptions} ibverbs.job=${job}`],
    ...['-chardev', 'stdio,id=console,signal=off', '-serial', 'chardev:console'],
    ...share('root', '/', ',readonly=on,multidevs=remap'),
    ...share('results', shared, ''),
    ...['-device', 'virtio-serial-pci'],
    ...port('stdout', 3),
    ...port('stderr', 4),
  ]
}

const kernelOptions = [
  'quiet loglevel=5', // warnings and worse reach the console
  'panic=-1 oops=panic', // the VM ends at once, with the reason as its last lines
  'mitigations=off nokaslr audit=0 apparmor=0',
  'tsc=reliable no_timer_check', // otherwise the clock is a slow device, read through QEMU's lock
].join(' ')

/** A comma in a value of QEMU's is written twice. */
const comma = (path) => path.replaceAll(',', ',,')

/** A /dev/kvm on a processor without vmx or svm hangs the guest. */
function hasKvm() {
  if (!/^flags\s*:.*\b(vmx|svm)\b/m.test(readFileSync('/proc/cpuinfo', 'latin1'))) return false
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK)
    return true
  } catch {
    return false
  }
}

function boot({ vm, setpriv, qemu, args, token, stdout, stderr, signal, deadline, timeoutSeconds }) {
  return new Promise((resolve, reject) => {
    // A session of its own: the terminal's Ctrl-C comes to us alone, and we end the VM.
    // SIGKILL cannot be caught: then the kernel ends QEMU (pdeathsig).
    const child = spawn(setpriv, ['--pdeathsig', 'KILL', '--', qemu, ...args], {
      stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe'],
      detached: true,
    })
    vm.child = child

    const console = lastLines(40)
    child.stdout.on('data', console.add)
    child.stderr.on('data', console.add)

    let code
    let open = 2
    const finish = (settle, value) => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', aborted)
      end(vm)
      settle(value)
    }
    const closed = () => {
      if (--open === 0) finish(resolve, code)
    }
    demultiplex(child.stdio[3], token, 3, stdout, (digits) => {
      code = Number(digits)
      closed()
    })
    demultiplex(child.stdio[4], token, 0, stderr, closed)

    const timer = setTimeout(
      () => {
        finish(
          reject,
          new VmError(
            'ETIMEDOUT',
            `the command was still running after ${timeoutSeconds} s (boot included)`,
            console.lines(),
          ),
        )
      },
      Math.max(0, deadline - Date.now()),
    )
    const aborted = () => finish(reject, signal.reason)
    signal?.addEventListener('abort', aborted)
    child.on('error', (error) => finish(reject, error))
    child.on('close', (status, killer) => {
      if (open === 0) return
      finish(
        reject,
        new VmError(
          'EPIPE',
          `the VM ended by itself (QEMU ${killer ?? `exit code ${status}`})`,
          console.lines(),
        ),
      )
    })
  })
}

/**
 * Passes on what lies between the two tokens and calls done with the `extra` bytes
 * after the second. Holds back only what may be the beginning of the token.
 */
function demultiplex(socket, token, extra, sink, done) {
  const mark = Buffer.from(token)
  let begun = false
  let ended = false
  let rest = Buffer.alloc(0)
  const pass = (chunk) => {
    if (chunk.length === 0 || sink === 'ignore') return
    if (typeof sink === 'function') return sink(chunk)
    if (sink.write(chunk)) return
    socket.pause() // and the guest's writer waits
    sink.once('drain', () => socket.resume())
  }
  socket.on('error', () => {}) // QEMU's end is reported by the process itself
  socket.on('data', (chunk) => {
    rest = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk
    if (!begun) {
      const at = rest.indexOf(mark)
      if (at < 0) return
      begun = true
      rest = rest.subarray(at + mark.length)
    }
    const at = rest.indexOf(mark)
    if (at < 0) {
      const held = beginningAtEnd(rest, mark)
      pass(rest.subarray(0, rest.length - held))
      rest = rest.subarray(rest.length - held)
    } else if (!ended && rest.length >= at + mark.length + extra) {
      ended = true
      pass(rest.subarray(0, at))
      done(rest.toString('latin1', at + mark.length, at + mark.length + extra))
    }
  })
}

/** How many bytes at the end of data are the beginning of mark. */
function beginningAtEnd(data, mark) {
  for (let n = Math.min(data.length, mark.length - 1); n > 0; n--) {
    if (data.subarray(data.length - n).equals(mark.subarray(0, n))) return n
  }
  return 0
}

function lastLines(count) {
  let text = ''
  return {
    add(chunk) {
      text = (text + chunk.toString('latin1')).slice(-65536)
    },
    lines: () =>
      text
        .replaceAll('\r', '')
        .split('\n')
        .filter((line) => line.trim() !== '')
        .slice(-count),
  }
}

// --------------------------------------------------------- the guest's command

function script(argv, cwd, env) {
  const all = {
    PATH: [
      dirname(process.execPath),
      '/usr/local/sbin',
      '/usr/local/bin',
      '/usr/sbin',
      '/usr/bin',
      '/sbin',
      '/bin',
    ].join(delimiter),
    HOME: '/root',
    LANG: 'C.UTF-8',
    TMPDIR: '/tmp',
    ...Object.fromEntries(inherited.map((name) => [name, process.env[name]])),
    ...env,
    IBVERBS_VM: '1',
    IBVERBS_RESULTS: '/run/ibverbs/results',
  }
  const exports = Object.entries(all)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => quote(`${name}=${value}`))
  return `cd ${quote(cwd)} || exit 126\nexec env -i ${[...exports, ...argv.map(quote)].join(' ')}\n`
}

const inherited = ['CI', 'NO_COLOR', 'FORCE_COLOR', 'TZ']

const quote = (word) => `'${String(word).replaceAll("'", `'\\''`)}'`

/** The guest's /tmp is empty: directories that must be seen there all the same. */
function keep(cwd) {
  const wanted = [project, cwd, resolve(process.execPath, '../..')]
  return [...new Set(wanted)].filter((path) => path.startsWith('/tmp/') && existsSync(path))
}

// ------------------------------------------------------- leaving nothing behind

const running = new Set()

function end(vm) {
  if (vm.child?.pid && vm.child.exitCode === null && vm.child.signalCode === null) vm.child.kill('SIGKILL')
  rmSync(vm.job, { recursive: true, force: true })
}

const endAll = () => {
  for (const vm of running) end(vm)
}

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP']

function onSignal(name) {
  endAll()
  // Nobody else handles it: what it would have done without us.
  if (process.listenerCount(name) === 1) {
    process.off(name, onSignal)
    process.kill(process.pid, name)
  }
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

/** Directories of processes that were killed before they could remove them. */
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
    .map((directory) => join(directory, command))
    .find((candidate) => existsSync(candidate))
  if (!path) throw new VmError('ENOENT', `${command} not found: install the package ${packageName}`)
  return path
}
