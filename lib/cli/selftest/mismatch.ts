/** What a check finds wrong: an Error whose message says what, and where bytes are wrong which. */
import { toHex } from '../hex.js'

/** Bytes that are not what they must be. */
export interface Difference {
  what: string
  /** Where they begin to differ, and how many of them differ. */
  at: number
  count: number
  /** From there on, 64 bytes at most, in hexadecimal digits. */
  expected: string
  found: string
}

export class Mismatch extends Error {
  readonly difference: Difference | undefined

  constructor(message: string, difference?: Difference) {
    super(message)
    this.difference = difference
  }
}

const shown = 64

/** @throws Mismatch with the bytes that differ */
export function assertBytes(what: string, found: Uint8Array, expected: Uint8Array): void {
  const length = Math.max(found.length, expected.length)
  let at = -1
  let count = 0
  for (let i = 0; i < length; i++) {
    if (found[i] === expected[i]) continue
    if (at < 0) at = i
    count++
  }
  if (at < 0) return
  const from = (bytes: Uint8Array) => toHex(bytes.subarray(at, at + shown))
  const many =
    found.length === expected.length
      ? `${count} of ${length} bytes differ`
      : `${found.length} bytes, not ${expected.length}, which differ`
  throw new Mismatch(`${what}: ${many} from byte ${at} on`, {
    ...{ what, at, count },
    expected: from(expected),
    found: from(found),
  })
}

/** @throws Mismatch */
export function assertEqual(what: string, found: unknown, expected: unknown): void {
  if (found !== expected) throw new Mismatch(`${what} is ${String(found)}, not ${String(expected)}`)
}

/** @throws Mismatch */
export function assertTrue(what: string, condition: boolean): void {
  if (!condition) throw new Mismatch(what)
}
