/** IBVERBS_ATOMICS=1: every word that a ring hands over is read and written with Atomics, where plain accesses do too. */
import { describe, expect, test } from 'vitest'
import { vethPair } from '../beds/veth.js'
import { command, programPath } from './program.js'
import { backends } from './traffic.js'

describe('forwarding with IBVERBS_ATOMICS=1', () => {
  test.each(['none', ...backends])('%s', async (backend) => {
    using first = vethPair()
    using second = vethPair()
    const ends = backend === 'none' ? [] : [first.a, first.b, second.a]
    const node = [process.execPath, '--expose-gc', programPath('forward.mjs'), backend, '20000', ...ends]
    const { code, output } = await command('env', 'IBVERBS_ATOMICS=1', ...node)
    expect(code, output).toBe(0)
    expect(output).toMatch(/^warm\ndone \d{5,} /)
  })

  test.each([
    [{}, process.arch === 'x64'],
    [{ IBVERBS_ATOMICS: '1' }, false],
  ])('%j: plain accesses: %s', async (env, plain) => {
    const words = Object.entries(env).map(([name, value]) => `${name}=${value}`)
    const program = `
      import { plainAccess } from ${JSON.stringify(new URL('../../dist/hot/own-copy.js', import.meta.url).href)}
      console.log(plainAccess)`
    const { output } = await command(
      'env',
      '-u',
      'IBVERBS_ATOMICS',
      ...words,
      process.execPath,
      '--input-type=module',
      '--eval',
      program,
    )
    expect(output).toBe(`${plain}\n`)
  })
})
