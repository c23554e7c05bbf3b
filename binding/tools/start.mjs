#!/usr/bin/env node
// `npm start`: sets up what is missing, builds, and does the main job on real input:
//
//   1. raw Ethernet frames from Node across a veth pair, in a network namespace of their own
//   2. raw packet queue pairs and RC on the software ConnectX, in this machine's own libibverbs and libmlx5
//   3. an RC ping-pong over SoftRoCE in the VM, or over the devices that the user names, beside perftest's ib_send_lat
//
//   npm start -- --device mlx5_0[,mlx5_1]     a device of this machine instead of the VM
//
// Everything printed is measured in this run. Namespace, interfaces and VM are gone afterwards, however it ends.

import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { prepare } from './setup.mjs'

const script = (name) => fileURLToPath(new URL(`start/${name}`, import.meta.url))
const bold = (text) => (process.stdout.isTTY && !process.env.NO_COLOR ? `\x1b[1m${text}\x1b[22m` : text)
const heading = (text) => console.log(`\n${bold(text)}`)

const devices = namedDevices(process.argv.slice(2))
const aborter = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    aborter.abort(new Error(signal))
    process.exitCode = signal === 'SIGINT' ? 130 : 143
  })
}

heading('1. Setting up: Debian packages, npm packages, the addon')
const ready = await prepare({ groups: ['build', 'rdma', 'ethernet', 'peers', ...(devices ? [] : ['vm'])] })
console.log('setup: done')
if (!ready.build) fail('nothing runs without a build: see above for what is missing')

heading('2. Raw Ethernet frames: Node to Node across a veth pair')
await part('raw frames', () => run([...ownNamespace(), process.execPath, script('frames.mjs')]))

heading('3. Raw packet queue pairs and RC on the software ConnectX')
if (ready.rdma) await part('software ConnectX', () => run([process.execPath, script('soft.mjs')]))
else problem('software ConnectX', 'needs the packages named above')

if (devices) {
  heading(`4. RC ping-pong over ${devices.join(' and ')}, beside ib_send_lat`)
  await part('RC ping-pong', () => run([process.execPath, script('latency.mjs'), ...devices]))
} else {
  heading('4. RC ping-pong over SoftRoCE (rxe) in a VM, beside ib_send_lat')
  if (ready.rdma && ready.vm) await part('RC ping-pong', inVm)
  else problem('RC ping-pong', 'needs the packages named above')
}

if (!process.exitCode) {
  heading('Next')
  console.log('  npm test                       the whole test suite')
  console.log('  npm run bench                  lists the benchmarks')
  console.log('  node dist/cli/main.js doctor   what works on this machine, and what mends the rest')
}

async function inVm() {
  const { runInVm } = await import('../../tests/beds/vm/vm.mjs')
  console.log('starting the VM (QEMU; Debian’s kernel, this machine’s files; about ten seconds) …')
  return runInVm([process.execPath, script('latency.mjs'), 'rxe0', 'rxe1'], {
    signal: aborter.signal,
    timeoutSeconds: 240,
    log: (line) => console.log(`vm: ${line}`),
    env: { FORCE_COLOR: process.stdout.isTTY ? '1' : undefined },
  })
}

/** Runs one part; a failure is told and the next part has its turn. */
async function part(name, work) {
  if (aborter.signal.aborted) return
  try {
    const code = await work()
    if (code !== 0) problem(name, `ended with code ${code}`)
  } catch (error) {
    if (!aborter.signal.aborted) problem(name, error.message)
  }
}

function problem(name, why) {
  if (aborter.signal.aborted) return
  console.error(`${name}: ${why}`)
  process.exitCode = 1
}

function fail(why) {
  console.error(why)
  process.exit(1)
}

/** What is made in a namespace goes with it; without root it is one of a user namespace of our own. */
function ownNamespace() {
  return process.getuid() === 0 ? ['unshare', '--net'] : ['unshare', '--map-root-user', '--net']
}

function run([command, ...args]) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit'] })
    const abort = () => child.kill('SIGTERM')
    aborter.signal.addEventListener('abort', abort)
    child.once('error', reject)
    child.once('close', (code, signal) => {
      aborter.signal.removeEventListener('abort', abort)
      resolve(code ?? `signal ${signal}`)
    })
  })
}

function namedDevices(words) {
  const at = words.indexOf('--device')
  const rest = words.filter((_, i) => at < 0 || (i !== at && i !== at + 1))
  const names = at < 0 ? process.env.IBVERBS_DEVICE : words[at + 1]
  if (rest.length > 0 || (at >= 0 && !names)) {
    console.error('usage: npm start [-- --device NAME[,NAME]]')
    process.exit(2)
  }
  if (!names) return undefined
  const [first, second = first] = names.split(',')
  return [first, second]
}
