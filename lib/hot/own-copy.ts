/**
 * Hot code, compiled once for each queue.
 *
 * V8 makes machine code for a function's source, not for an object: in a class every access to a ring loads the ring,
 * its words, its mask and their lengths again. Where one copy of the source serves one queue, all of these are
 * constants.
 *
 * Hot code lies in CommonJS files (*.cts) that export one function and use nothing but its parameters and the language
 * itself. A copy is the emitted file as a whole, compiled again under its own URL: stack traces, breakpoints and
 * coverage fit the file, and a collected queue's code goes with it.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { compileFunction } from 'node:vm'

const texts = new Map<string, string>()

/**
 * A copy of the function that a hot file exports.
 *
 * @param url of the emitted file
 */
export function ownCopy<F>(url: URL): F {
  const { href } = url
  let text = texts.get(href)
  if (text === undefined) {
    text = readFileSync(fileURLToPath(url), 'utf8')
    texts.set(href, text)
  }
  const module: { exports?: F } = {}
  compileFunction(text, ['module'], { filename: href })(module)
  return module.exports as F
}

/**
 * Whether a plain load or store hands words over between processors in order: x86-64 keeps loads in order, and stores,
 * and V8 keeps the order of a program's accesses to typed arrays (tests/binding/litmus.test.ts). Atomics, which are right
 * everywhere, are calls, and cost several times more. IBVERBS_ATOMICS=1 chooses them here too.
 */
export const plainAccess = process.arch === 'x64' && process.env.IBVERBS_ATOMICS !== '1'
