// Runs a bed's test files with vitest, once or in repeated rounds with one start-up.
//
//   node tests/beds/rounds.mjs --out FILE [--repeat N] [--exclude GLOB] [--max-workers N] [--no-isolate] FILTER …
//
// FILE gets a line of JSON for each test file of each round, and one for each round's end (outcome.mjs reads them).

import { appendFileSync } from 'node:fs'
import { relative } from 'node:path'
import { parseArgs } from 'node:util'
import { createVitest } from 'vitest/node'
import { mark, startReaper } from './reaper.mjs'
import { project } from './vm/vm.mjs'
import { killChildren, watchdog } from './watchdog.mjs'

const { values, positionals } = parseArgs({
  options: {
    out: { type: 'string' },
    repeat: { type: 'string', default: '1' },
    exclude: { type: 'string', multiple: true, default: [] },
    'max-workers': { type: 'string' },
    'no-isolate': { type: 'boolean' },
  },
  allowPositionals: true,
})
const repeat = Number(values.repeat)
// A blocked thread outlives its parent: vitest's processes carry this process's mark, their children their own.
Object.assign(process.env, mark)
startReaper()
const tell = (line) => appendFileSync(values.out, `${JSON.stringify(line)}\n`)

let vitest
let round = 1
/** The files that have ended in this round. */
const told = new Set()

const recorder = {
  onInit(started) {
    vitest = started
  },
  onTestModuleEnd(module) {
    told.add(module)
    tell(outcomeOf(module))
  },
  onTestRunEnd(modules, errors) {
    // A file whose process was lost never ends.
    for (const module of modules.filter((each) => !told.has(each))) {
      const outcome = outcomeOf(module)
      tell({
        ...outcome,
        failed: outcome.failed + 1,
        failures: [...outcome.failures, 'did not run to its end'],
      })
    }
    told.clear()
    if (repeat > 1) for (const module of modules) printFailures(module)
    if (repeat > 1) for (const error of errors) vitest.logger.printError(error)
    tell({ round, ended: true, errors: errors.map(({ message }) => message) })
  },
}

/** Ends everything: a blocked thread reacts to nothing else. */
function hung(running) {
  for (const { file, test } of running) {
    console.error(`HUNG in round ${round}: ${file} > ${test}`)
    tell({ round, file, seconds: 0, passed: 0, failed: 1, skipped: 0, failures: [`${test} (hung)`] })
  }
  killChildren()
  process.exit(1)
}

/** Suites with an error of their own (a failed hook), and the file itself if it does not load. */
const broken = (module) =>
  [module, ...module.children.allSuites()].filter((entity) => entity.errors().length > 0)

function outcomeOf(module) {
  const tests = [...module.children.allTests()]
  const count = (state) => tests.filter((test) => test.result().state === state).length
  const times = module.diagnostic()
  const milliseconds =
    times.environmentSetupDuration +
    times.prepareDuration +
    times.collectDuration +
    times.setupDuration +
    times.duration
  const failed = [...broken(module), ...tests.filter((test) => test.result().state === 'failed')]
  return {
    round,
    file: relative(project, module.moduleId),
    seconds: milliseconds / 1000,
    passed: count('passed'),
    failed: failed.length,
    skipped: tests.length - count('passed') - count('failed'),
    failures: failed.map((entity) => entity.fullName ?? ''),
  }
}

function printFailures(module) {
  const file = relative(project, module.moduleId)
  const failed = [...module.children.allTests()].filter((test) => test.result().state === 'failed')
  for (const entity of [...broken(module), ...failed]) {
    console.error(`FAILED in round ${round}: ${file} > ${entity.fullName ?? ''}`)
    const errors = entity.type === 'test' ? entity.result().errors : entity.errors()
    for (const error of errors) vitest.logger.printError(error)
  }
}

const instance = await createVitest('test', {
  root: project,
  watch: false,
  // In repeated rounds, only failures are worth a line.
  reporters: [...(repeat > 1 ? [] : ['default']), recorder, watchdog(hung)],
  cliExclude: values.exclude,
  ...(values['max-workers'] ? { maxWorkers: Number(values['max-workers']) } : {}),
  ...(values['no-isolate'] ? { isolate: false } : {}),
})
await instance.standalone()
const files = await instance.globTestSpecifications(positionals)
if (files.length === 0) {
  console.error(`no test file: ${positionals.join(' ')}`)
  process.exit(1)
}
let failed = false
for (; round <= repeat; round++) {
  const started = performance.now()
  const { testModules, unhandledErrors } = await instance.runTestSpecifications(files, true)
  const good = testModules.every((module) => module.ok()) && unhandledErrors.length === 0
  if (!good) failed = true
  const seconds = (performance.now() - started) / 1000
  if (repeat > 1)
    console.log(`round ${round} of ${repeat}: ${good ? 'passed' : 'FAILED'}, ${seconds.toFixed(1)} s`)
}
process.exitCode = failed ? 1 : 0
await instance.exit(true)
