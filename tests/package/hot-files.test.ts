/** Hot files (lib/hot/own-copy.ts) use nothing but their parameters and the language itself. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import ts from 'typescript-oldest'
import { afterAll, describe, expect, test } from 'vitest'
import { ownCopy } from '../../dist/hot/own-copy.js'
import { execFileSync } from '../beds/child.js'
import { project } from './tarball.js'

const dist = join(project, 'dist')
const folder = mkdtempSync(join(tmpdir(), 'hot-files-'))
afterAll(() => rmSync(folder, { recursive: true }))

/**
 * What the language itself has, as far as hot code uses it. No class: a copy's realm may be another than its caller's,
 * where Int32Array is another one (Jest runs each test file in a realm of its own).
 */
const language = ['Atomics', 'Math', 'undefined']
/** The names that a file uses and does not declare. */
function freeNames(file: string): string[] {
  const program = ts.createProgram([file], {
    allowJs: true,
    checkJs: true,
    noLib: true,
    noEmit: true,
    types: [],
  })
  const source = program.getSourceFile(file)
  if (!source) throw new Error(`${file} is not there`)
  const checker = program.getTypeChecker()
  const names = new Set<string>()
  const visit = (node: ts.Node): void => {
    if (ts.isIdentifier(node) && isReference(node) && !isDeclared(node)) names.add(node.text)
    ts.forEachChild(node, visit)
  }
  const isDeclared = (node: ts.Node): boolean =>
    (checker.getSymbolAtLocation(node)?.declarations ?? []).length > 0
  const isReference = (node: ts.Identifier): boolean => {
    const { parent } = node
    if (ts.isPropertyAccessExpression(parent)) return parent.expression === node
    if (ts.isBindingElement(parent)) return parent.propertyName !== node && parent.name !== node
    return !ts.isPropertyAssignment(parent) || parent.initializer === node
  }
  visit(source)
  return [...names].sort()
}

const files = readdirSync(dist, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.cjs'))
  .sort()

test('there are hot files', () => {
  expect(files).toEqual([
    'ethernet/hot/receive.cjs',
    'ethernet/hot/slots.cjs',
    'ethernet/hot/transmit.cjs',
    'mlx5/hot/message-completions.cjs',
    'mlx5/hot/message-receives.cjs',
    'mlx5/hot/message-sends.cjs',
    'mlx5/hot/message-submit.cjs',
    'mlx5/hot/receive-completions.cjs',
    'mlx5/hot/receive-requests.cjs',
    'mlx5/hot/record.cjs',
    'mlx5/hot/regions.cjs',
    'mlx5/hot/send-completions.cjs',
    'mlx5/hot/send-requests.cjs',
    'mlx5/hot/send-work.cjs',
    'mlx5/hot/striding-completions.cjs',
    'ring/hot/consumer.cjs',
    'ring/hot/producer.cjs',
    'verbs/hot/completion-queue.cjs',
  ])
})

describe.each(files)('%s', (file) => {
  test('has no free name', () => {
    expect(freeNames(join(dist, file)).filter((name) => !language.includes(name))).toEqual([])
  })

  test('loads nothing', () => {
    expect(readFileSync(join(dist, file), 'utf8')).not.toMatch(/\b(require|import)\b\s*\(/)
  })
})

test('the check finds a free name', () => {
  const file = join(folder, 'free.js')
  writeFileSync(
    file,
    'const a = 1; function f(b) { return a + b + process.pid + Math.max(hidden, 1) }; module.exports = f\n',
  )
  expect(freeNames(file)).toEqual(['Math', 'hidden', 'process'])
})

describe('a copy', () => {
  const file = join(folder, 'hot.cjs')
  const url = pathToFileURL(file)
  writeFileSync(
    file,
    "'use strict'\nmodule.exports = (n) => () => {\n  if (n > 1) throw new Error('there')\n  return n\n}\n",
  )

  test('is another function each time', () => {
    const [one, two] = [ownCopy(url), ownCopy(url)] as ((n: number) => () => number)[]
    expect(one).not.toBe(two)
    expect([one(0)(), two(1)()]).toEqual([0, 1])
  })

  test('has stack lines in its file', () => {
    const copy = ownCopy(url) as (n: number) => () => number
    let stack = ''
    try {
      copy(2)()
    } catch (error) {
      stack = (error as Error).stack ?? ''
    }
    expect(stack.split('\n')[1]).toContain(`${url.href}:3:20`)
  })

  test('is made where code may not be generated from strings', () => {
    const program = `
      import { ownCopy } from ${JSON.stringify(pathToFileURL(join(dist, 'hot/own-copy.js')).href)}
      console.log(ownCopy(new URL(${JSON.stringify(url.href)}))(1)())
      try { eval('1') } catch { console.log('no eval') }`
    const flags = ['--disallow-code-generation-from-strings', '--input-type=module', '--eval', program]
    expect(execFileSync(process.execPath, flags, { encoding: 'utf8' })).toBe('1\nno eval\n')
  })
})
