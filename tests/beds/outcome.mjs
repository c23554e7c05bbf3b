// Reads the outcome of vitest's rounds, which rounds.mjs writes.

import { existsSync, readFileSync } from 'node:fs'

/**
 * @typedef {{ passed: number, failed: number, skipped: number, problem?: string, failures: string[],
 *   files: Record<string, { rounds: number, seconds: number }>, rounds: number }} Outcome
 *   `files`: in how many rounds each ran to its end, and its total time; `rounds`: number of finished rounds
 * @param {string} path
 * @param {number} code vitest's exit code
 * @returns {Outcome}
 */
export function readOutcome(path, code) {
  const lines = existsSync(path) ? readFileSync(path, 'utf8').split('\n').filter(Boolean).map(parse) : []
  const outcome = { passed: 0, failed: 0, skipped: 0, failures: [], files: {}, rounds: 0 }
  const round = (number) => (number > 1 ? ` (round ${number})` : '')
  for (const line of lines.filter(Boolean)) {
    if (line.ended) {
      outcome.rounds++
      outcome.failed += line.errors.length
      outcome.failures.push(...line.errors.map((message) => `unhandled: ${message}${round(line.round)}`))
      continue
    }
    for (const name of ['passed', 'failed', 'skipped']) outcome[name] += line[name]
    outcome.failures.push(
      ...line.failures.map((name) => [line.file, name].filter(Boolean).join(' > ') + round(line.round)),
    )
    outcome.files[line.file] ??= { rounds: 0, seconds: 0 }
    const file = outcome.files[line.file]
    file.rounds++
    file.seconds += line.seconds
  }
  if (outcome.rounds === 0 && outcome.failed === 0)
    outcome.problem = `vitest ended with code ${code} and no report`
  else if (code !== 0 && outcome.failed === 0) outcome.problem = `vitest ended with code ${code}`
  else if (outcome.passed === 0 && outcome.failed === 0) outcome.problem = 'no test was run'
  return outcome
}

/** A killed run may have left half a line. */
function parse(line) {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}
