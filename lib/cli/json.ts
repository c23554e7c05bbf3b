/** Output of the commands with --json: one object per line, its numbers rounded to the digits that mean something. */

/** Decimals of a number: a nanosecond for values in µs, a thousandth for values per second. */
const decimals = 3
/** Decimals of a value in seconds: a microsecond. */
const decimalsOfSeconds = 6
/** Significant digits of a number that is too small for its decimals. */
const digits = 3

export function jsonText(value: unknown): string {
  return JSON.stringify(value, (key, each: unknown) =>
    typeof each === 'number' ? rounded(each, key === 'seconds' ? decimalsOfSeconds : decimals) : each,
  )
}

/** Rounds a measured number, which also drops the digits that binary fractions add. */
export function rounded(value: number, places: number = decimals): number {
  if (!Number.isFinite(value) || Number.isInteger(value)) return value
  const short = Number(value.toFixed(places))
  return Math.abs(short) * 10 ** places < 10 ** (digits - 1) ? Number(value.toPrecision(digits)) : short
}
