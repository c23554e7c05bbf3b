// Logs a line of JSON for each run, as evidence that adds up over days: IBVERBS_TEST_LOG, or build/test/runs.log.

import { execFileSync } from 'node:child_process'
import { appendFileSync, mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { project } from './vm/vm.mjs'

export const logFile = () => process.env.IBVERBS_TEST_LOG ?? join(project, 'build/test/runs.log')

/** The sources under test: the commit, and whether the files are the commit's. Call it before the run. */
export function sources() {
  const git = (...words) =>
    execFileSync('git', words, { cwd: project, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  try {
    return { commit: git('rev-parse', 'HEAD').trim(), clean: git('status', '--porcelain').trim() === '' }
  } catch {
    return { commit: null, clean: null } // not a clone
  }
}

/** Appends a run. */
export function logRun(run) {
  const file = logFile()
  mkdirSync(dirname(file), { recursive: true })
  appendFileSync(file, `${JSON.stringify(run)}\n`)
  return file
}
