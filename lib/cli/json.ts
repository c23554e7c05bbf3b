/** What the commands print with --json: one object a line, its numbers with the digits that mean something. */

/** Decimals of a number: a nanosecond of what is in µs, a thousandth of what is per second. */
const decimals = 3
/** Of what is in seconds: a microsecond. */
const decimalsOfSeconds = 6
/** A number too small for its decimals keeps so many digits. */
const digits = 3

export function jsonText(value: unknown): string {
  return JSON.stringify(value, (key, each: unknown) =>
    typeof each === 'number' ? rounded(each, key === 'seconds' ? decimalsOfSeconds : decimals) : each,
  )
}

/** A measured number without the digits that only binary fractions have. */
export function rounded(value: number, places: number = decimals): number {
  if (!Number.isFinite(value) || Number.isInteger(value)) return value
  const short = Number(value.toFixed(places))
  return Math.abs(short) * 10 ** places < 10 ** (digits - 1) ? Number(value.toPrecision(digits)) : short
}
