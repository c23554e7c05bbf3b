#!/usr/bin/env node
// npm run bench                                  lists the benchmarks
// npm run bench -- verbs/latency [--json] …      runs one, or several, or all of a domain
//
// It builds nothing but the C peers of bench/peers, into build/peers, when they are older than their sources.

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { availableParallelism, constants } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'

const folder = dirname(fileURLToPath(import.meta.url))
const project = resolve(folder, '..')
const peerSources = join(folder, 'peers')
const peerFolder = join(project, 'build/peers')

const usage = `usage: npm run bench                               list the benchmarks
       npm run bench -- NAME… [options]            run them; a domain stands for all of its benchmarks

  --json              one line of JSON a case on stdout
  --rounds N          alternated rounds, at least 20 (20)
  --case TEXT         only comparisons with a case that contains TEXT
  --device A[,B]      RDMA devices of the two ends (or IBVERBS_DEVICE); without: rxe0 and rxe1 in the VM
`

class UsageError extends Error {}

function list() {
  const benches = []
  for (const domain of readdirSync(folder, { withFileTypes: true })) {
    if (!domain.isDirectory() || domain.name === 'harness' || domain.name === 'peers') continue
    for (const file of readdirSync(join(folder, domain.name))) {
      if (file.endsWith('.ts')) benches.push(`${domain.name}/${file.slice(0, -'.ts'.length)}`)
    }
  }
  return benches.sort()
}

/** The first line of the file's first comment. */
function description(name) {
  const source = readFileSync(join(folder, `${name}.ts`), 'utf8')
  return /\/\*\*\s*(?:\*\s)?([^\n]*?)\s*(?:\*\/)?\n/.exec(source)?.[1] ?? ''
}

function printList() {
  const names = list()
  const width = Math.max(...names.map((name) => name.length))
  for (const name of names) console.log(`${name.padEnd(width)}  ${description(name)}`)
}

function options() {
  let parsed
  try {
    parsed = parseArgs({
      allowPositionals: true,
      options: {
        json: { type: 'boolean', default: false },
        rounds: { type: 'string', default: '20' },
        case: { type: 'string' },
        device: { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    })
  } catch (error) {
    throw new UsageError(error.message)
  }
  const { values, positionals } = parsed
  const rounds = Number(values.rounds)
  if (!Number.isInteger(rounds) || rounds < 20) {
    throw new UsageError(`--rounds must be an integer of at least 20, not ${values.rounds}`)
  }
  const known = list()
  const names = positionals.flatMap((name) => {
    const found = known.filter((bench) => bench === name || bench.startsWith(`${name}/`))
    if (found.length === 0) throw new UsageError(`there is no benchmark ${name}; npm run bench lists them`)
    return found
  })
  return { ...values, rounds, names, devices: devices(values.device) }
}

/** The devices of the two ends, or undefined if only the VM has some. */
function devices(option) {
  const named = option ?? process.env.IBVERBS_DEVICE
  if (named) {
    const [a, b = a, ...rest] = named.split(',')
    if (!a || !b || rest.length > 0) throw new UsageError(`a device, or two: A,B; not ${named}`)
    return [a, b]
  }
  return process.env.IBVERBS_VM === '1' ? ['rxe0', 'rxe1'] : undefined
}

function age(path) {
  return existsSync(path) ? statSync(path).mtimeMs : -1
}

async function load(name) {
  const built = join(project, 'build/bench', `${name}.js`)
  const newest = Math.max(age(join(folder, `${name}.ts`)), ...sources(join(folder, 'harness')).map(age))
  if (age(built) < newest) {
    throw new Error(
      `${built} is ${existsSync(built) ? 'older than its source' : 'not built'}: npm run build:bench`,
    )
  }
  return (await import(pathToFileURL(built))).default
}

function sources(path) {
  return readdirSync(path, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? sources(join(path, entry.name)) : [join(path, entry.name)],
  )
}

/** Compiles a C peer that is older than its source or the headers beside it. Its first line names the libraries. */
function buildPeer(name) {
  const source = join(peerSources, `${name}.c`)
  const target = join(peerFolder, name)
  const headers = readdirSync(peerSources).filter((file) => file.endsWith('.h'))
  const newest = Math.max(age(source), ...headers.map((file) => age(join(peerSources, file))))
  if (age(target) >= newest) return
  const libraries = /^\/\/ cc:(.*)$/m.exec(readFileSync(source, 'utf8'))?.[1].trim().split(/\s+/) ?? []
  const args = ['-O3', '-std=gnu11', '-Wall', '-Wextra', source, '-o', target, ...libraries]
  console.error(`bench: cc ${args.join(' ')}`)
  mkdirSync(peerFolder, { recursive: true })
  const { status, error } = spawnSync('cc', args, { stdio: ['ignore', 2, 2] })
  if (error?.code === 'ENOENT') throw new Error('cc not found: install the package gcc')
  if (status !== 0) throw new Error(`the C peer ${source} did not compile`)
}

/** The options of this run, for this script in another place. */
function sameOptions({ json, rounds, case: only }) {
  return [
    '--rounds',
    String(rounds),
    ...(json ? ['--json'] : []),
    ...(only === undefined ? [] : ['--case', only]),
  ]
}

/** Runs one benchmark in a network namespace of its own, which takes everything created there with it, however it ends. */
function runInNamespace(name, given) {
  const root = process.getuid() === 0
  const how = root ? ['--net', '--mount'] : ['--map-current-user', '--keep-caps', '--net', '--mount']
  const script = fileURLToPath(import.meta.url)
  return runElsewhere('unshare', [...how, process.execPath, script, name, ...sameOptions(given)], {
    IBVERBS_BENCH_NAMESPACE: '1',
  })
}

/** Runs one benchmark in the VM: this script, in there. */
function runInVm(name, given) {
  const vm = join(project, 'tests/beds/vm/run.mjs')
  // A second processor if there is one: ib_send_lat is two processes that spin.
  const cpus = String(Math.min(2, availableParallelism()))
  const script = fileURLToPath(import.meta.url)
  const args = [vm, '--timeout', '1800', '--cpus', cpus, '--', process.execPath, script, name]
  console.error(`bench: ${name} runs in the VM, on rxe0 and rxe1 (--device names others)`)
  return runElsewhere(process.execPath, [...args, ...sameOptions(given)])
}

/** Runs a command to its end and returns its exit code. */
async function runElsewhere(command, args, environment = {}) {
  const env = { ...process.env, ...environment }
  const child = spawn(command, args, { cwd: project, env, stdio: 'inherit' })
  // Ctrl-C reaches the child too, which ends its own children; a signal sent to this process alone is passed on.
  const ignore = () => {}
  const pass = (signal) => child.kill(signal)
  process.on('SIGINT', ignore).on('SIGTERM', pass).on('SIGHUP', pass)
  try {
    const [status, signal] = await once(child, 'close')
    return status ?? 128 + constants.signals[signal]
  } finally {
    process.off('SIGINT', ignore).off('SIGTERM', pass).off('SIGHUP', pass)
  }
}

async function main() {
  const given = options()
  if (given.help) return console.log(usage)
  if (given.names.length === 0) return printList()
  for (const name of given.names) {
    const bench = await load(name)
    for (const peer of bench.peers ?? []) buildPeer(peer)
    let status
    if (bench.bed === 'rdma' && given.devices === undefined) {
      status = await runInVm(name, given)
    } else if (bench.bed === 'veth' && process.env.IBVERBS_BENCH_NAMESPACE !== '1') {
      status = await runInNamespace(name, given)
    } else {
      const { runBench } = await import(pathToFileURL(join(project, 'build/bench/harness/bench.js')))
      const { json, rounds, case: only } = given
      status = await runBench(bench, {
        name,
        json,
        rounds,
        only,
        devices: given.devices,
        peerFolder,
        peerSources,
      })
    }
    process.exitCode ||= status
  }
}

main().catch((error) => {
  console.error(`bench: ${error.message}`)
  if (error instanceof UsageError) console.error(`\n${usage}`)
  process.exitCode = error instanceof UsageError ? 2 : 1
})
