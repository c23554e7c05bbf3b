/** Argument checks. Each failure names the argument, what it must be and what it was, as Node's own errors do. */
import { inspect } from 'node:util'

function received(value: unknown): string {
  try {
    return inspect(value, { depth: 0, breakLength: Number.POSITIVE_INFINITY }).slice(0, 80)
  } catch {
    return `a ${typeof value} that cannot be inspected` // its own inspection throws; the argument's name matters more
  }
}

/** A TypeError with code ERR_INVALID_ARG_TYPE. */
export function typeError(name: string, expected: string, value: unknown): TypeError {
  return Object.assign(new TypeError(`"${name}" must be ${expected}, not ${received(value)}`), {
    code: 'ERR_INVALID_ARG_TYPE',
  })
}

/** A RangeError with code ERR_OUT_OF_RANGE. */
export function rangeError(name: string, expected: string, value: unknown): RangeError {
  return Object.assign(new RangeError(`"${name}" must be ${expected}, not ${received(value)}`), {
    code: 'ERR_OUT_OF_RANGE',
  })
}

/** An integer in [low, high]; at most 2^53 − 1, which is what a number holds exactly. */
export function integer(name: string, value: unknown, low = 0, high = Number.MAX_SAFE_INTEGER): number {
  if (typeof value !== 'number') throw typeError(name, 'a number', value)
  if (!Number.isSafeInteger(value) || value < low || value > high) {
    throw rangeError(name, `an integer from ${low} to ${high}`, value)
  }
  return value
}

export function uint32(name: string, value: unknown): number {
  return integer(name, value, 0, 0xffffffff)
}

export function boolean(name: string, value: unknown): boolean {
  if (typeof value !== 'boolean') throw typeError(name, 'a boolean', value)
  return value
}

export function string(name: string, value: unknown): string {
  if (typeof value !== 'string') throw typeError(name, 'a string', value)
  return value
}

/** One of the given strings. */
export function oneOf<const T extends string>(name: string, value: unknown, allowed: readonly T[]): T {
  if (typeof value !== 'string') throw typeError(name, 'a string', value)
  if (!allowed.includes(value as T)) throw rangeError(name, `one of ${allowed.join(', ')}`, value)
  return value as T
}

/** An options object; undefined counts as an empty one. */
export function options<T extends object>(name: string, value: T | undefined): T {
  if (value === undefined) return {} as T
  if (typeof value !== 'object' || value === null) throw typeError(name, 'an object', value)
  return value
}

/** Any class, one whose constructor is private too: what `instanceof` needs of it. */
export interface ClassOf<T> {
  readonly prototype: T
  readonly name: string
  [Symbol.hasInstance](value: unknown): boolean
}

export function instance<T>(name: string, value: unknown, type: ClassOf<T>): T {
  if (!(value instanceof type)) throw typeError(name, `a ${type.name}`, value)
  return value as T
}

export function abortSignal(name: string, value: unknown): AbortSignal | undefined {
  if (value === undefined) return undefined
  if (!(value instanceof AbortSignal)) throw typeError(name, 'an AbortSignal', value)
  return value
}
