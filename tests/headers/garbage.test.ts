/** The functions allocate nothing. In a process of its own: vitest's module loading keeps V8 from compiling them whole. */

import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { execFileSync } from '../beds/child.js'

test('a million frames through NAT, tags and tunnels: no garbage collection', () => {
  const program = fileURLToPath(new URL('programs/garbage.mjs', import.meta.url))
  const flags = ['--no-warnings', '--expose-gc', '--max-semi-space-size=1']
  const output = execFileSync(process.execPath, [...flags, program], { encoding: 'utf8' })
  expect(JSON.parse(output)).toEqual({ wrong: 0, collections: 0 })
})
