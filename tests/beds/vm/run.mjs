#!/usr/bin/env node

// node tests/beds/vm/run.mjs [--timeout S] [--memory MB] [--cpus N] [--results DIR] -- COMMAND ARGS…
//
// Runs a command in the VM, in the current directory, and exits with its exit code.

import { constants } from 'node:os'
import { parseArgs } from 'node:util'
import { runInVm } from './vm.mjs'

const usage =
  'usage: node tests/beds/vm/run.mjs [--timeout SECONDS] [--memory MB] [--cpus N] [--results DIR] -- COMMAND ARGS…'

const number = (name, text) => {
  const value = Number(text)
  if (!(value > 0)) throw new Error(`--${name} wants a number, not ${text}`)
  return value
}

async function main() {
  const string = { type: 'string' }
  const { values, positionals } = parseArgs({
    options: {
      timeout: string,
      memory: string,
      cpus: string,
      results: string,
      help: { type: 'boolean', short: 'h' },
    },
    allowPositionals: true,
  })
  if (values.help) return console.log(usage)
  if (positionals.length === 0) throw new Error(usage)

  const options = { cwd: process.cwd(), results: values.results, log: (line) => console.error(line) }
  if (values.timeout) options.timeoutSeconds = number('timeout', values.timeout)
  if (values.memory) options.memory = number('memory', values.memory)
  if (values.cpus) options.cpus = number('cpus', values.cpus)

  const stop = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(name, () => {
      process.exitCode = 128 + constants.signals[name]
      stop.abort(new Error(`ended by ${name}`))
    })
  }
  const code = await runInVm(positionals, { ...options, signal: stop.signal })
  process.exitCode ??= code
}

main().catch((error) => {
  console.error(`vm: ${error.message}`)
  process.exitCode ??= error.code === 'ETIMEDOUT' ? 124 : 125
})
