/** IBVERBS_SOFT, the variable that makes devices for a program that knows nothing of them. */

import { describe, expect, test } from 'vitest'
import { node } from '../beds/process.js'

describe('IBVERBS_SOFT', () => {
  const listing = `import { listDevices, open } from 'ibverbs'
    const context = open()
    console.log(listDevices().map(({ name }) => name).join(' '), context.name, context.queryPort(1).state)
    context.close()`

  test.each([
    ['loop', 'mlx5_soft0 mlx5_soft0 ACTIVE'],
    ['1', 'mlx5_soft0 mlx5_soft0 ACTIVE'],
    ['pair', 'mlx5_soft0 mlx5_soft1 mlx5_soft0 ACTIVE'],
    ['pair@02:00:00:00:00:01?mtu=1024&delay=5', 'mlx5_soft0 mlx5_soft1 mlx5_soft0 ACTIVE'],
    ['pair+pair', 'mlx5_soft0 mlx5_soft0 ACTIVE'],
    ['pair:a;pair:a', 'mlx5_soft0 mlx5_soft1 mlx5_soft0 ACTIVE'],
    // Sorted, independent of the directory's order.
    [
      Array.from({ length: 12 }, () => 'loop').join(';'),
      `${Array.from({ length: 12 }, (_, i) => `mlx5_soft${i}`).join(' ')} mlx5_soft0 ACTIVE`,
    ],
  ])('%s makes them for a program that knows nothing of them', async (value, listed) => {
    const { code, stdout, stderr } = await node(listing, { env: { IBVERBS_SOFT: value } })
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: `${listed}\n`, stderr: '' })
  })

  test('of a pair alone: one port’s options count for both', async () => {
    const { stdout } = await node(
      `import { open } from 'ibverbs'
       for (const name of ['mlx5_soft0', 'mlx5_soft1']) console.log(open(name).queryPort(1).activeMtu)`,
      { env: { IBVERBS_SOFT: 'pair?mtu=2048' } },
    )
    expect(stdout).toBe('2048\n2048\n')
  })

  test('that is invalid fails every call that looks for devices, and prints nothing on standard error', async () => {
    const wrong = {
      lop: 'a wire is loop, pair, pair:NAME, socket:PATH or interface:NAME, not "lop"',
      'pair:a': 'pair:a has one port only: another one must name it too',
      socket: '"socket" needs a name behind a colon',
      'loop:a': '"loop" takes no name',
      'loop?mtu=1500': '"mtu" must be 256, 512, 1024, 2048 or 4096, not "1500"',
      'loop?minimumInline=17': '"minimumInline" must be 0 or 18, not "17"',
      'loop?loss=2': '"loss" must be a number from 0 to 1, not "2"',
      'loop?lost=1':
        'there is no option "lost": there are minimumInline, mtu, maxObjects, strict, bandwidth, delay, jitter, loss, duplicate, reorder, queue, seed',
    }
    const { code, stdout, stderr } = await node(
      `import { listDevices, open } from 'ibverbs'
       import { PacketQueue } from 'ibverbs/ethernet'
       import { softConnectX } from 'ibverbs/soft'
       const calls = [listDevices, open, () => open('mlx5_soft0'), () => PacketQueue.open('mlx5_soft0/1'), softConnectX]
       for (const value of ${JSON.stringify(Object.keys(wrong))}) {
         process.env.IBVERBS_SOFT = value
         for (const call of calls) {
           try { call(); console.log('nothing was thrown') } catch (error) { console.log(error.message) }
         }
       }`,
      { env: { IBVERBS_SOFT: 'lop' } },
    )
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const messages = Object.entries(wrong).map(
      ([value, words]) => `EINVAL: softConnectX: IBVERBS_SOFT=${value}: ${words}`,
    )
    expect(stdout.trimEnd().split('\n')).toEqual(
      messages.flatMap((each) => Array.from({ length: 5 }, () => each)),
    )
  })

  test('that is corrected takes effect', async () => {
    const { stdout } = await node(
      `import { listDevices } from 'ibverbs'
       try { listDevices() } catch (error) { console.log(error.code) }
       process.env.IBVERBS_SOFT = 'pair'
       console.log(listDevices().length)`,
      { env: { IBVERBS_SOFT: 'pear' } },
    )
    expect(stdout).toBe('EINVAL\n2\n')
  })

  test.each(['', '0'])("'%s' makes none", async (value) => {
    const { stdout, stderr } = await node(
      `import { listDevices } from 'ibverbs'
       console.log(listDevices().filter(({ name }) => name.startsWith('mlx5_soft')).length)`,
      { env: { IBVERBS_SOFT: value } },
    )
    expect({ stdout, stderr }).toEqual({ stdout: '0\n', stderr: '' })
  })

  test('makes the devices that softConnectX() would make: EBUSY in either order', async () => {
    const { stdout } = await node(
      `import { softConnectX } from 'ibverbs/soft'
       try { softConnectX() } catch (error) { console.log(error.message) }`,
      { env: { IBVERBS_SOFT: 'loop' } },
    )
    expect(stdout).toBe(
      'EBUSY: softConnectX: this process has its software devices already (close them first; IBVERBS_SOFT makes them, too)\n',
    )
  })

  test('a program without this package gets the error on standard error, once', async () => {
    const { stderr } = await node(
      `import { spawnSync } from 'node:child_process'
       import { softLibraryPath } from 'ibverbs/soft'
       const { stderr } = spawnSync('ibv_devices', [], { encoding: 'utf8', env: { ...process.env, LD_PRELOAD: softLibraryPath() } })
       process.stderr.write(stderr)`,
      { env: { IBVERBS_SOFT: 'lop' } },
    )
    const line = 'IBVERBS_SOFT=lop: a wire is loop, pair, pair:NAME, socket:PATH or interface:NAME, not "lop"'
    expect(stderr.split('\n').filter((each) => each.startsWith('IBVERBS_SOFT'))).toEqual([line])
  })
})
