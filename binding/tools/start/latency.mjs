// Part 3 of `npm start`: RC latency of the `ibverbs` command and of perftest's ib_send_lat, on the same two devices,
// with the same message size, each as two processes that poll, and the same made of the samples of both. Runs in the VM, or
// on the devices that the user names.

import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { open } from 'ibverbs'
import { summarize } from '../../../dist/lab/percentiles.js'
import { table } from '../../../dist/lab/table.js'
import { perftestSamples } from './perftest.mjs'

const [serverDevice, clientDevice] = process.argv.slice(2)
const size = 64
const iterations = 8000
// V8 compiles what runs hot in the first of them; ib_send_lat has nothing to compile.
const warmup = 3000
const cli = fileURLToPath(new URL('../../../dist/cli/main.js', import.meta.url))
const children = new Set()
process.once('exit', () => {
  for (const child of children) child.kill()
})
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1))

/** Runs a command; resolves with what it printed, rejects with what it complained of. */
function run(command, args, { onLine } = {}) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  children.add(child)
  let output = ''
  let complaints = ''
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      if (stream === child.stdout) output += `${line}\n`
      else complaints += `${line}\n`
      onLine?.(line)
    })
  }
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => {
      children.delete(child)
      if (code === 0) resolve(output)
      else reject(new Error(`${command} ${args.join(' ')} ended with code ${code}\n${complaints || output}`))
    })
  })
}

/** A server, then, when it says that it waits, a client; resolves with what the client printed. */
async function pair(command, serverArguments, clientArguments, waits) {
  let ready
  const waiting = new Promise((resolve) => {
    ready = resolve
  })
  const server = run(command, serverArguments, { onLine: (line) => waits.test(line) && ready() })
  // The server may die before it is ready.
  await Promise.race([waiting, server])
  const [, client] = await Promise.all([server, run(command, clientArguments)])
  return client
}

async function ours() {
  const common = [
    '--size',
    String(size),
    '--iterations',
    String(iterations),
    '--warmup',
    String(warmup),
    '--port',
    '18600',
    '--json',
  ]
  const text = await pair(
    process.execPath,
    [cli, 'ping', '--listen', '--device', serverDevice, ...common],
    [cli, 'ping', '127.0.0.1', '--device', clientDevice, ...common],
    /waiting/,
  )
  return JSON.parse(text)
}

/** Index of the GID that the library chooses by itself: ib_send_lat gets the same. */
function gidIndex(name) {
  const context = open(name)
  try {
    const domain = context.allocateProtectionDomain()
    const cq = context.createCompletionQueue(8)
    return domain.createQueuePair({ type: 'RC', cq, maxSendWr: 2, maxReceiveWr: 2 }).gidIndex
  } finally {
    context.close()
  }
}

function theirs() {
  const common = ['-s', String(size), '-n', String(iterations), '-p', '18601', '-I', '0', '-F', '-U']
  return pair(
    // stdbuf(1): into a pipe it would say that it waits only when it ends.
    'stdbuf',
    ['-oL', 'ib_send_lat', '-d', serverDevice, '-x', String(gidIndex(serverDevice)), ...common],
    ['-oL', 'ib_send_lat', '-d', clientDevice, '-x', String(gidIndex(clientDevice)), ...common, '127.0.0.1'],
    /Waiting for client/,
  )
}

console.log(
  `ibverbs ping, ${serverDevice} ↔ ${clientDevice}: ${iterations} messages of ${size} bytes, the first ${warmup} not counted …`,
)
const measured = await ours()
if (!measured.complete) throw new Error(measured.failure ?? 'the ping-pong was interrupted')
console.log(`ib_send_lat, ${iterations} messages …`)
let text = await theirs()
// On a busy machine it cannot calibrate its clock, and says inf of everything.
for (let again = 0; again < 4 && /, inf$/m.test(text); again++) text = await theirs()
const perftest = summarize(perftestSamples(text, iterations).sort())

const columns = ['min', 'p50', 'p99', 'p99.9', 'max', 'mean']
const row = (name, values) => [name, ...columns.map((column) => values[column].toFixed(1))]
console.log('\nRC latency, half a round trip, µs, of all samples of each (ib_send_lat -U):')
console.log(
  table(
    [['', ...columns], row('ibverbs (Node)', measured.half), row('ib_send_lat (C)', perftest)],
    ['left', ...columns.map(() => 'right')],
  ),
)
console.log('\nibverbs, round trips by µs (a row begins at its number):')
const peak = Math.max(...measured.histogram.map(([, , count]) => count))
console.log(
  table(
    measured.histogram.map(([from, to, count]) => [
      `${to === null ? '≥ ' : ''}${from}`,
      String(count),
      '█'.repeat(Math.ceil((count / peak) * 40)),
    ]),
    ['right', 'right'],
  ),
)
