// Parses the words after `npm test --`.

import { existsSync, readdirSync, statSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { discretion } from './discretion.mjs'
import { bedsOf } from './places.mjs'
import { project } from './vm/vm.mjs'

export const usage = (
  beds,
) => `usage: npm test -- [--repeat N] [--load] [--discretion] [--long | --asan | --nodes] [BED …] [FILE …]
  BED       ${beds.join(', ')}; all of them by default
  FILE      a test file or a folder of them, run in the beds that have it (of those that are named, if any are)
  --repeat  so many times: whole runs one after the other, or the files alone
  --load    beside a busy process for each processor
  --discretion  the files that touch what the kernel, the scheduler or the collector does as it likes (discretion.mjs)
  --long, --asan, --nodes  what takes longer; with sanitizers; on other versions of Node`

export class WordsError extends Error {}

/**
 * @param {string[]} argv
 * @param {string[]} beds
 * @returns {{ variants: string[], repeat: number, load: boolean, beds: string[], files: Record<string, string[]> }} `files`:
 *   for each bed, the named files that it runs; undefined if none was named
 */
export function parseWords(argv, beds) {
  const { values, positionals } = parse(argv)
  const repeat = Number(values.repeat ?? 1)
  if (!Number.isInteger(repeat) || repeat < 1)
    throw new WordsError(`--repeat wants a number, not ${values.repeat}`)
  const variants = ['long', 'asan', 'nodes'].filter((name) => values[name])
  const named = positionals.filter((word) => beds.includes(word))
  const words = positionals.filter((word) => !beds.includes(word))
  const paths = [
    ...words.flatMap(testFiles),
    ...(values.discretion ? discretion.filter((path) => within(path, named)) : []),
  ]
  if (paths.length === 0) {
    return {
      variants,
      repeat,
      load: Boolean(values.load),
      beds: named.length > 0 ? named : beds,
      files: undefined,
    }
  }
  const files = {}
  for (const path of paths) {
    const all = bedsOf(path)
    const chosen = named.length > 0 ? all.filter((bed) => named.includes(bed)) : all
    if (chosen.length === 0)
      throw new WordsError(`${path} belongs to ${all.join(' and ')}, not to ${named.join(' or ')}`)
    for (const bed of chosen) files[bed] = [...(files[bed] ?? []), path]
  }
  return { variants, repeat, load: Boolean(values.load), beds: beds.filter((bed) => files[bed]), files }
}

/** Whether one of the named beds runs the file; without names, every bed does. */
const within = (path, named) => named.length === 0 || bedsOf(path).some((bed) => named.includes(bed))

function parse(argv) {
  const boolean = { type: 'boolean' }
  try {
    return parseArgs({
      args: argv,
      options: {
        repeat: { type: 'string' },
        load: boolean,
        discretion: boolean,
        long: boolean,
        asan: boolean,
        nodes: boolean,
      },
      allowPositionals: true,
    })
  } catch (error) {
    throw new WordsError(error.message)
  }
}

/** A file, or all files in a folder, as paths from the project's folder. */
function testFiles(word) {
  const path = resolve(word)
  if (!existsSync(path)) throw new WordsError(`neither a bed nor a file: ${word}`)
  const found = statSync(path).isDirectory()
    ? readdirSync(path, { recursive: true }).map((name) => join(path, name))
    : [path]
  const tests = found
    .filter((file) => file.endsWith('.test.ts') && (file === path || !file.endsWith('.long.test.ts')))
    .map((file) => relative(project, file))
  if (tests.length === 0) throw new WordsError(`no test file: ${word}`)
  return tests.sort()
}
