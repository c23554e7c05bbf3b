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

  test('frames of the mlx5 driver, which receives what it sends', async () => {
    const program = `
      import { PacketQueue } from ${JSON.stringify(new URL('../../dist/ethernet/index.js', import.meta.url).href)}
      const queue = PacketQueue.open('mlx5_soft0', { backend: 'mlx5' })
      const own = queue.interface.macBytes
      let received = 0
      for (let sent = 0; received < 20000; ) {
        for (let i = 0; i < 100 && sent - received < 500; i++, sent++) {
          const slot = queue.claim()
          const at = queue.offset(slot)
          queue.memory.set([...own, ...own, 0x88, 0xb5, sent & 255, (sent >> 8) & 255], at)
          queue.send(slot, 60)
        }
        queue.submit()
        const n = queue.receive()
        for (let i = 0; i < n; i++, received++) {
          const at = queue.columns.offsets[i] + 14
          if (queue.memory[at] + queue.memory[at + 1] * 256 !== (received & 65535)) throw new Error('not frame ' + received)
        }
        queue.releaseMany(queue.columns.slots, n)
      }
      console.log('done')
      queue.close()`
    const node = [process.execPath, '--input-type=module', '--eval', program]
    const { code, output } = await command('env', 'IBVERBS_ATOMICS=1', 'IBVERBS_SOFT=loop', ...node)
    expect({ code, output }).toEqual({ code: 0, output: 'done\n' })
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
