// What the beds brought: a line each, then the total that .ci/run ends with.

/**
 * @param {{ title: string, seconds: number, passed?: number, failed?: number, skipped?: number,
 *   problem?: string, unavailable?: boolean }[]} results
 * @param {{ ci: boolean }} options in CI a bed that is not available is a failure
 * @returns {number} the exit code
 */
export function report(results, { ci }) {
  let [passed, failed, skipped] = [0, 0, 0]
  console.log('\n== total')
  for (const result of results) {
    const counted = result.passed !== undefined
    passed += result.passed ?? 0
    failed += result.failed ?? 0
    skipped += result.skipped ?? 0
    const numbers = counted
      ? `${result.passed} passed, ${result.failed} failed, ${result.skipped} skipped`
      : ''
    let note = ''
    if (result.problem) {
      // A run that broke without a failed test to show for it is one failure of its own.
      if (result.unavailable && !ci) skipped++
      else if (!result.failed) failed++
      note = `${result.unavailable && !ci ? 'NOT RUN' : 'FAILED'}: ${result.problem}`
    }
    const words = [numbers, note].filter(Boolean).join('; ')
    console.log(`  ${result.title.padEnd(24)} ${`${result.seconds.toFixed(0)} s`.padStart(6)}  ${words}`)
  }
  if (passed + failed === 0) failed = 1
  if (skipped > 0) console.log(`(${skipped} skipped)`)
  console.log(`${passed} passed, ${failed} failed`)
  return failed > 0 ? 1 : 0
}
