/** Argument checks. Each failure names the argument, what it must be and what it was, as Node's own errors do. */
import { inspect } from 'node:util'

function received(value: unknown): string {
  try {
    return inspect(value, { depth: 0, breakLength: Number.POSITIVE_INFINITY }).slice(0, 80)
  } catch {
    return `a ${typeof value} that cannot be inspected` // its inspect function throws
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

/** An integer in [low, high]; at most 2^53 − 1, the largest that a number holds exactly. */
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

/**
 * The property names of an options type; of a union, those of all its members. Each options type has a constant of its
 * names beside it, and `{ a: true } satisfies Names<Options>` compiles only with exactly these names.
 */
export type Names<T> = Readonly<Record<T extends unknown ? keyof Required<T> : never, true>>

/** An options object; undefined counts as an empty one. An unknown name is an error: see {@link onlyNames}. */
export function options<T extends object>(name: string, value: T | undefined, names: Names<NoInfer<T>>): T {
  if (value === undefined) return {} as T
  return object(name, value, 'an object', names)
}

/** A required object of these names only; `expected` says in the error what it must be. */
export function object<T extends object>(
  name: string,
  value: T,
  expected: string,
  names: Names<NoInfer<T>>,
): T {
  if (typeof value !== 'object' || value === null) throw typeError(name, expected, value)
  onlyNames(name, value, names)
  return value
}

/**
 * Refuses an own enumerable name that is not among `names`, unless its value is undefined: a misspelt option would have
 * no effect.
 *
 * @throws TypeError that suggests the nearest name
 */
export function onlyNames(name: string, value: object, names: Readonly<Record<string, true>>): void {
  for (const key of Object.keys(value)) {
    if (Object.hasOwn(names, key) || (value as Record<string, unknown>)[key] === undefined) continue
    const known = Object.keys(names)
    const meant = nearest(key, known)
    const hint = meant === undefined ? '' : `: did you mean "${meant}"?`
    throw Object.assign(
      new TypeError(`"${name}.${key}" is not known${hint} (there are ${known.join(', ')})`),
      { code: 'ERR_INVALID_ARG_TYPE' },
    )
  }
}

/** The name with the smallest edit distance; undefined if none is near. */
function nearest(key: string, known: readonly string[]): string | undefined {
  const asked = key.toLowerCase()
  const cost = (name: string): number => {
    const there = name.toLowerCase()
    const [short, long] = asked.length < there.length ? [asked, there] : [there, asked]
    // promisc means promiscuous, but sourcePortt means sourcePort, not source.
    const within = short.length >= 3 && long.includes(short) ? 2.5 : Number.POSITIVE_INFINITY
    return Math.min(within, changes(asked, there))
  }
  const best = known.reduce((best, name) => (cost(name) < cost(best) ? name : best))
  return cost(best) <= Math.max(2.5, asked.length / 2) ? best : undefined
}

/**
 * Edit distance (optimal string alignment): an insertion, a deletion or a swap of neighbours costs 1; a substitution
 * costs 2, so that recvCq is near receiveCq, not sendCq.
 */
function changes(a: string, b: string): number {
  let [before, row] = [[] as number[], Array.from({ length: b.length + 1 }, (_, j) => j)]
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 2
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + same)
      if (a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) next[j] = Math.min(next[j], before[j - 2] + 1)
    }
    before = row
    row = next
  }
  return row[b.length]
}

/** Any class, also one with a private constructor: what `instanceof` needs of it. */
export interface ClassOf<T> {
  readonly prototype: T
  readonly name: string
  [Symbol.hasInstance](value: unknown): boolean
}

/** A class's name with its article: 'an Arena', 'a Uint8Array'. */
export function aNamed(name: string): string {
  return `${/^[AEIO]/.test(name) ? 'an' : 'a'} ${name}`
}

export function instance<T>(name: string, value: unknown, type: ClassOf<T>): T {
  if (!(value instanceof type)) throw typeError(name, aNamed(type.name), value)
  return value as T
}

export function abortSignal(name: string, value: unknown): AbortSignal | undefined {
  if (value === undefined) return undefined
  if (!(value instanceof AbortSignal)) throw typeError(name, 'an AbortSignal', value)
  return value
}
