/**
 * No module of the library imports itself through others. Type-only imports close circles in one place alone: an object
 * of verbs names its parent in the public API (`queuePair.domain`), and the parent makes it.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import ts from 'typescript-oldest'
import { expect, test } from 'vitest'
import { project } from './tarball.js'

/** From each child to its parent: `import type` in the first file, from the second. */
const parents = [
  'lib/verbs/completion-queue.ts -> lib/verbs/context.ts',
  'lib/verbs/protection-domain.ts -> lib/verbs/context.ts',
  'lib/verbs/memory-region.ts -> lib/verbs/protection-domain.ts',
  'lib/verbs/address/address-handle.ts -> lib/verbs/protection-domain.ts',
  'lib/verbs/queue-pair/queue-pair.ts -> lib/verbs/protection-domain.ts',
  'lib/verbs/flow.ts -> lib/verbs/queue-pair/queue-pair.ts',
  'lib/verbs/work-queue.ts -> lib/verbs/protection-domain.ts',
]

/** The imports of the library's files, as text. */
function imports(): string[] {
  const lib = join(project, 'lib')
  const files = readdirSync(lib, { recursive: true, encoding: 'utf8' }).filter((name) => /\.c?ts$/.test(name))
  return files.flatMap((name) => {
    const file = join(lib, name)
    return ts
      .preProcessFile(readFileSync(file, 'utf8'), true, true)
      .importedFiles.filter(({ fileName }) => fileName.startsWith('.'))
      .map(({ fileName }) => join(dirname(file), fileName.replace(/\.(c?)js$/, '.$1ts')))
      .map((imported) => `${relative(project, file)} -> ${relative(project, imported)}`)
  })
}

/** A circle among such imports: the files from one to itself; undefined where there is none. */
function circle(arrows: readonly string[]): string[] | undefined {
  const targets = new Map<string, string[]>()
  for (const arrow of arrows) {
    const [from, to] = arrow.split(' -> ')
    targets.set(from, [...(targets.get(from) ?? []), to])
  }
  const done = new Set<string>()
  const visit = (file: string, path: readonly string[]): string[] | undefined => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file]
    if (done.has(file)) return undefined
    for (const target of targets.get(file) ?? []) {
      const found = visit(target, [...path, file])
      if (found) return found
    }
    done.add(file)
    return undefined
  }
  for (const file of targets.keys()) {
    const found = visit(file, [])
    if (found) return found
  }
  return undefined
}

test('no file of the library imports itself by way of others, but for a child that names its parent', () => {
  const arrows = imports()
  expect(arrows).toEqual(expect.arrayContaining(parents))
  expect(circle(arrows.filter((arrow) => !parents.includes(arrow)))).toBeUndefined()
})

test('a child imports its parent as a type only', () => {
  for (const [file, parent] of parents.map((arrow) => arrow.split(' -> '))) {
    const name = `./${relative(dirname(file), parent)}`.replace(/^\.\/\.\./, '..').replace(/ts$/, 'js')
    expect(readFileSync(join(project, file), 'utf8')).toMatch(
      new RegExp(`^import type .* from '${name}'$`, 'm'),
    )
  }
})
