// Reports the results of the beds: a line each, the slowest files, then the total with which .ci/run ends.

/**
 * @typedef {{ title: string, seconds: number, cpuSeconds: number, passed?: number, failed?: number, skipped?: number,
 *   problem?: string, unavailable?: boolean, failures?: string[],
 *   files?: Record<string, { rounds: number, seconds: number }> }} Result
 * @typedef {{ passed: number, failed: number, skipped: number, failures: string[] }} Total
 */

/**
 * Adds up the results; a bed that could not run counts as skipped, and in CI as failed.
 * @param {Result[]} results
 * @param {{ ci: boolean }} options
 * @returns {Total}
 */
export function total(results, { ci }) {
  const sum = { passed: 0, failed: 0, skipped: 0, failures: [] }
  for (const { title, passed = 0, failed = 0, skipped = 0, problem, unavailable, failures = [] } of results) {
    sum.passed += passed
    sum.failed += failed
    sum.skipped += skipped
    sum.failures.push(...failures.map((name) => (name ? `${title}: ${name}` : title)))
    if (!problem) continue
    if (unavailable && !ci) sum.skipped++
    else {
      // A broken run without a failed test is a failure of its own.
      if (failed === 0) sum.failed++
      sum.failures.push(`${title}: ${problem}`)
    }
  }
  if (sum.passed + sum.failed === 0) {
    sum.failed = 1
    sum.failures.push('nothing was run')
  }
  return sum
}

/**
 * Prints the results and the total.
 * @param {Result[]} results
 * @param {{ ci: boolean }} options
 * @returns {Total}
 */
export function report(results, { ci }) {
  const sum = total(results, { ci })
  if (sum.failures.length > 0) {
    console.log('\n== failed')
    for (const name of sum.failures) console.log(`  ${name}`)
  }
  slowest(results)
  console.log('\n== total')
  for (const result of results) {
    const numbers =
      result.passed === undefined
        ? ''
        : `${result.passed} passed, ${result.failed} failed, ${result.skipped} skipped`
    const verdict = result.unavailable && !ci ? 'NOT RUN' : 'FAILED'
    const words = [numbers, result.problem ? `${verdict}: ${result.problem}` : ''].filter(Boolean).join('; ')
    console.log(
      `  ${result.title.padEnd(24)} ${seconds(result.seconds)} (${seconds(result.cpuSeconds)} of CPU)  ${words}`,
    )
  }
  if (sum.skipped > 0) console.log(`(${sum.skipped} skipped)`)
  console.log(`${sum.passed} passed, ${sum.failed} failed`)
  return sum
}

const seconds = (value) => `${value.toFixed(0)} s`.padStart(6)

/** The ten slowest files, by time for each round. */
function slowest(results) {
  const files = results.flatMap(({ title, files = {} }) =>
    Object.entries(files).map(([file, { rounds, seconds }]) => ({ title, file, each: seconds / rounds })),
  )
  if (files.length < 2) return
  console.log('\n== the slowest files')
  for (const { title, file, each } of files.sort((a, b) => b.each - a.each).slice(0, 10)) {
    console.log(`  ${`${each.toFixed(1)} s`.padStart(8)}  ${file} (${title})`)
  }
}
