/** A check of the self-test. */
import type { Bench } from './bench.js'

export interface Check {
  name: string
  /** What is checked, in a few words. */
  what: string
  /**
   * Throws what it finds wrong. What it returns, if anything, stands in the file.
   *
   * @throws Mismatch, Skip, VerbsError
   */
  run(bench: Bench): Promise<unknown>
}
