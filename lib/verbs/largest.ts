import { VerbsError } from '../errors.js'
import { type Kind, native } from '../native.js'

/**
 * Creates an object of the sizes asked for. The attributes of a device do not state its limits for every size (none
 * states the inline size; a send queue holds fewer requests the longer they may be), and a device that cannot create
 * the object says only EINVAL or ENOMEM. Then this finds the largest sizes that work, by trying, and the error names
 * them.
 *
 * @param order the sizes, each with its least value: the first ones keep what was asked for if that is possible at all,
 *   the later ones shrink to fit
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
    if (!works(sizes)) throw error // the sizes are not the cause
    const wrong: string[] = []
    for (const [name, least] of order) {
      const largest = largestOf(least, asked[name], (size) => works({ ...sizes, [name]: size }))
      sizes = { ...sizes, [name]: largest }
      if (largest < asked[name])
        wrong.push(`${name} ${asked[name]}: the largest that works here is ${largest}`)
    }
    if (wrong.length === 0) throw error // it works now: what was lacking is free again
    throw new VerbsError(-error.errno, syscall, wrong.join('; '))
  }
}

/** The largest size that works, from low (which works) to high. */
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

const sizeErrors = new Set(['EINVAL', 'ENOMEM', 'ENOTSUP'])
