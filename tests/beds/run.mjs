#!/usr/bin/env node
// Runs the whole test suite, bed by bed, with one total: `npm test`; or parts of it, repeatedly, beside a load (words.mjs),
// and with --long, --asan or --nodes the longer runs.
//
// The last line is `N passed, N failed`. A bed that cannot run says why; in CI that is a failure.
// Plain JavaScript: it runs before anything is installed or built.

import { prepare } from '../../binding/tools/setup.mjs'
import { beds } from './beds.mjs'
import { heldOutput } from './held-output.mjs'
import { startLoad } from './load.mjs'
import { logRun, sources } from './log.mjs'
import { whenParentEnds } from './parent.mjs'
import { processorTime } from './processor-time.mjs'
import { report } from './report.mjs'
import { variants } from './variants.mjs'
import { parseWords, usage, WordsError } from './words.mjs'

const ci = Boolean(process.env.CI) && process.env.CI !== 'false'
const words = asked()

/** Processor seconds of the VMs of beds that have ended. */
let apart = 0
const aborter = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.once(signal, () => aborter.abort(new Error(`ended by ${signal}`)))
}
if (process.env.npm_lifecycle_event) {
  whenParentEnds(() => aborter.abort(new Error('ended: npm is gone')))
}

const setup = measured()
const long = words.variants.includes('long') ? ['long'] : []
const ready = await prepare({ groups: ['build', 'rdma', 'ethernet', 'peers', 'vm', 'pages', ...long] })
if (!ready.build) {
  console.error('nothing can be tested without a build')
  console.log('0 passed, 1 failed')
  process.exit(1)
}
const chosen = await variants(words)
const prepared = { title: 'setup', ...setup() }

// Files repeat within their bed, which starts once; a whole run repeats as a whole.
const runs = words.files ? 1 : words.repeat
let failed = false
for (let run = 1; run <= runs && !aborter.signal.aborted; run++) {
  if (runs > 1) console.log(`\n== run ${run} of ${runs}`)
  if (!(await runAll(run === 1 ? [prepared] : []))) failed = true
}
process.exitCode = failed ? 1 : 0

async function runAll(before) {
  const tested = { date: new Date().toISOString(), ...sources() }
  const load = words.load ? startLoad() : undefined
  const results = [...before]
  const clock = measured()
  try {
    for (const variant of chosen) {
      const names = words.beds.filter((name) => variant.beds.includes(name))
      // The VM keeps one processor busy and the other beds little more than one: they run side by side.
      const beside = names.filter((name) => beds[name].beside)
      const others = names.filter((name) => !beds[name].beside)
      const started = beside.map((name) => {
        const output = heldOutput()
        return { output, result: runBed(name, variant, output) }
      })
      for (const name of others) results.push(await runBed(name, variant))
      for (const { output, result } of started) {
        output.release()
        results.push(await result)
      }
    }
  } finally {
    load?.end()
  }
  const { seconds } = clock()
  const { passed, failed, skipped, failures } = report(results, { ci })
  const file = logRun({
    ...tested,
    words: process.argv.slice(2),
    node: process.version,
    load: words.load,
    repeat: words.files ? words.repeat : 1,
    seconds: Math.round(seconds),
    result: aborter.signal.aborted ? 'interrupted' : failed > 0 ? 'failed' : 'passed',
    passed,
    failed,
    skipped,
    failures,
    beds: Object.fromEntries(results.filter((result) => result.title !== 'setup').map(brief)),
  })
  if (process.env.IBVERBS_TEST_LOG) console.error(`logged in ${file}`)
  return failed === 0
}

/** @param output of a bed that runs beside others: printed when they have ended */
async function runBed(name, variant, output) {
  const bed = beds[name]
  const title = variant.title ? `${name} (${variant.title})` : name
  const heading = `\n== ${title}: ${bed.what}\n`
  if (output) output.stdout(heading)
  else process.stdout.write(heading)
  const clock = measured()
  const lacking = bed.needs.filter((group) => !ready[group])
  const context = {
    variant,
    output,
    signal: aborter.signal,
    files: words.files?.[name],
    repeat: words.files ? words.repeat : 1,
  }
  const result = aborter.signal.aborted
    ? { problem: 'interrupted' }
    : lacking.length > 0
      ? { problem: `needs ${lacking.join(', ')}, which setup could not bring`, unavailable: true }
      : await bed.run(context).catch((error) => ({ problem: error.message }))
  // A bed that runs beside others gives the processor time of its own processes. It must not count with whichever bed runs
  // when they end.
  apart += result.cpuSeconds ?? 0
  return { title, ...clock(), ...result }
}

/** The log's entry for a bed: for named files, how often each ran to its end. */
function brief({ title, seconds, cpuSeconds, passed, failed, skipped, problem, files = {} }) {
  const rounds = Object.fromEntries(Object.entries(files).map(([file, { rounds }]) => [file, rounds]))
  const all = {
    seconds: Math.round(seconds),
    cpuSeconds: Math.round(cpuSeconds),
    passed,
    failed,
    skipped,
    problem,
  }
  return [title, words.files ? { ...all, rounds } : all]
}

/** A clock in seconds, and the processor seconds of ended child processes, without the VM's. */
function measured() {
  const spent = () => processorTime().children - apart
  const [started, before] = [performance.now(), spent()]
  return () => ({ seconds: (performance.now() - started) / 1000, cpuSeconds: spent() - before })
}

function asked() {
  try {
    return parseWords(process.argv.slice(2), Object.keys(beds))
  } catch (error) {
    if (!(error instanceof WordsError)) throw error
    console.error(error.message)
    console.error(usage(Object.keys(beds)))
    process.exit(2)
  }
}
