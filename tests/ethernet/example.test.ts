/** docs/examples/raw-frame.mjs, as a user runs it. */
import { fileURLToPath } from 'node:url'
import { queryInterface } from 'ibverbs/ethernet'
import { expect, test } from 'vitest'
import { vethPair } from '../beds/veth.js'
import { command } from './program.js'

const example = fileURLToPath(new URL('../../docs/examples/raw-frame.mjs', import.meta.url))

test('sends a frame and prints it', async () => {
  using veth = vethPair()
  const { mac } = queryInterface(veth.a)
  expect(await command(process.execPath, example, veth.a, veth.b)).toEqual({
    code: 0,
    output: `35 bytes from ${mac} on ${veth.b}: hello from JavaScript\n`,
  })
})

test('says which interfaces there are', async () => {
  using veth = vethPair()
  const { code, output } = await command(process.execPath, example, 'nosuch', veth.b)
  expect(code).toBe(1)
  expect(output).toContain('no interface "nosuch" here; there are: ')
  expect(output).toContain(veth.a)
})
