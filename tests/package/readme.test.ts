import { existsSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

const readme = readFileSync('README.md', 'utf8')

test('the snippets are exactly the examples that tests run', () => {
  const snippets = [...readme.matchAll(/```js\n(.*?)```/gs)].map(([, code]) => code)
  expect(snippets).toEqual(
    ['raw-frame', 'rc-ping', 'rc-mlx5'].map((name) => readFileSync(`docs/examples/${name}.mjs`, 'utf8')),
  )
})

test('every npm script that it names exists', () => {
  const { scripts } = JSON.parse(readFileSync('package.json', 'utf8'))
  const named = [...readme.matchAll(/npm run ([\w:]+)/g)].map(([, name]) => name)
  expect(named).not.toEqual([])
  for (const name of named) expect(scripts, name).toHaveProperty(name)
  expect(scripts).toHaveProperty('start')
  expect(scripts).toHaveProperty('test')
})

test('every file that it links to exists', () => {
  const links = [...readme.matchAll(/\]\((?!https?:)([^)#]+)/g)].map(([, path]) => path)
  expect(links).not.toEqual([])
  for (const path of links) expect(existsSync(path), path).toBe(true)
})
