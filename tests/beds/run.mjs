#!/usr/bin/env node
// The whole test suite, bed by bed, with one total: `npm test`, and with --long, --asan or --nodes what takes longer.
//
//   node tests/beds/run.mjs [--long | --asan | --nodes] [bed …]
//
// The last line is `N passed, N failed`. A bed that cannot run says why; in CI that is a failure.
// Plain JavaScript: it runs before anything is installed or built.

import { prepare } from '../../binding/tools/setup.mjs'
import { beds } from './beds.mjs'
import { report } from './report.mjs'
import { variants } from './variants.mjs'

const ci = Boolean(process.env.CI) && process.env.CI !== 'false'
const words = process.argv.slice(2)
const flags = words.filter((word) => word.startsWith('--'))
const names = words.filter((word) => !word.startsWith('--'))
const unknown = [
  ...flags.filter((flag) => !['--long', '--asan', '--nodes'].includes(flag)),
  ...names.filter((name) => !beds[name]),
]
if (unknown.length > 0) {
  console.error(`unknown: ${unknown.join(' ')}`)
  console.error(
    `usage: node tests/beds/run.mjs [--long | --asan | --nodes] [${Object.keys(beds).join(' | ')}] …`,
  )
  process.exit(2)
}

const aborter = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => aborter.abort(new Error(`ended by ${signal}`)))
}

const long = flags.includes('--long') ? ['long'] : []
const ready = await prepare({ groups: ['build', 'rdma', 'peers', 'vm', ...long] })
if (!ready.build) {
  console.error('nothing can be tested without a build')
  console.log('0 passed, 1 failed')
  process.exit(1)
}

const results = []
for (const variant of await variants(flags)) {
  for (const [name, bed] of Object.entries(beds)) {
    if (names.length > 0 && !names.includes(name)) continue
    if (!variant.beds.includes(name)) continue
    const title = variant.title ? `${name} (${variant.title})` : name
    console.log(`\n== ${title}: ${bed.what}`)
    const started = performance.now()
    const lacking = bed.needs.filter((group) => !ready[group])
    const result = aborter.signal.aborted
      ? { problem: 'interrupted' }
      : lacking.length > 0
        ? { problem: `needs ${lacking.join(', ')}, which setup could not bring`, unavailable: true }
        : await bed.run({ variant, signal: aborter.signal }).catch((error) => ({ problem: error.message }))
    results.push({ title, seconds: (performance.now() - started) / 1000, ...result })
  }
}
process.exitCode = report(results, { ci })
