import { VerbsError } from '../errors.js'
import { type Kind, native } from '../native.js'

/**
 * Creates something of the sizes asked for. A device's attributes do not tell what it can do of each size (nothing tells
 * the inline size; a send queue holds fewer requests the longer they may be), and one that cannot do what was asked for
 * says EINVAL or ENOMEM only. Then the largest that works is looked for, by trying, and named.
 *
 * @param order what is asked for, each with the least that it can be: what comes first is kept at what was asked for, if
 *   that can be had at all, and what comes later is made to fit
 * @param make creates it with the given sizes
 */
export function orLargest<S extends Record<keyof S, number>, T extends { handle: number }>(
  asked: S,
  order: readonly (readonly [name: keyof S & string, least: number])[],
  make: (sizes: S) => T,
  kind: Kind,
  syscall: string,
): T {
  try {
    return make(asked)
  } catch (error) {
    if (!(error instanceof VerbsError) || !sizeErrors.has(error.code)) throw error
    const works = (sizes: S) => {
      try {
        native.close(make(sizes).handle, kind)
        return true
      } catch {
        return false
      }
    }
    let sizes: S = { ...asked, ...Object.fromEntries(order) }
    if (!works(sizes)) throw error // it is something else
    const wrong: string[] = []
    for (const [name, least] of order) {
      const largest = largestOf(least, asked[name], (size) => works({ ...sizes, [name]: size }))
      sizes = { ...sizes, [name]: largest }
      if (largest < asked[name])
        wrong.push(`${name} ${asked[name]}: the largest that works here is ${largest}`)
    }
    if (wrong.length === 0) throw error // it works now: what it wanted is there again
    throw new VerbsError(-error.errno, syscall, wrong.join('; '))
  }
}

/** The largest of low (which works) to high that works. */
function largestOf(low: number, high: number, works: (size: number) => boolean): number {
  if (low >= high || works(high)) return high
  let [good, bad] = [low, high]
  while (bad - good > 1) {
    const middle = good + ((bad - good) >> 1)
    if (works(middle)) good = middle
    else bad = middle
  }
  return good
}

const sizeErrors = new Set(['EINVAL', 'ENOMEM', 'ENOTSUP', 'EOPNOTSUPP'])
