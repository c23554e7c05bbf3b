/** softConnectX(): devices that are created and closed in this process, and the resources that remain. */

import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { Worker } from 'node:worker_threads'
import { type Context, listDevices, open as openDevice } from 'ibverbs'
import { type SoftConnectX, type SoftOptions, softConnectX, softLibraryPath } from 'ibverbs/soft'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { native } from '../../dist/native.js'
import { execFileSync } from '../beds/child.js'
import { limit } from '../beds/limit.js'
import { thrownBy } from '../beds/process.js'

// Other test files make software devices at the same time, and check that nothing of theirs remains.
const folder = mkdtempSync(join(tmpdir(), 'soft-devices-'))
process.env.TMPDIR = folder
afterAll(() => rmSync(folder, { recursive: true }))

const opened: SoftConnectX[] = []
const contexts: Context[] = []

function soft(options?: SoftOptions): SoftConnectX {
  const made = softConnectX(options)
  opened.push(made)
  return made
}

function open(name?: string): Context {
  const context = openDevice(name)
  contexts.push(context)
  return context
}

afterEach(() => {
  for (const each of contexts.splice(0)) each.close()
  for (const each of opened.splice(0)) each.close()
  expect(native.handleCount()).toBe(0)
})

/** Two connected RC queue pairs on mlx5_soft0 and mlx5_soft1. */
function connected() {
  const ends = (['mlx5_soft0', 'mlx5_soft1'] as const).map((name) => {
    const context = open(name)
    const domain = context.allocateProtectionDomain()
    const cq = context.createCompletionQueue(64)
    const memory = domain.registerMemory(65536)
    return {
      context,
      cq,
      memory,
      pair: domain.createQueuePair({ type: 'RC', cq, maxSendWr: 16, maxReceiveWr: 16 }),
    }
  })
  const [a, b] = ends
  a.pair.connect(b.pair.endpoint)
  b.pair.connect(a.pair.endpoint)
  return { a, b, close: () => ends.map(({ context }) => context.close()) }
}

/** This process's resources that could leak. */
const resources = () => ({
  descriptors: readdirSync('/proc/self/fd').length,
  threads: readdirSync('/proc/self/task').length,
  mappings: readFileSync('/proc/self/maps', 'latin1').split('\n').length,
  files: readdirSync(folder),
})

/** The thread of the software NIC: null while no device is open. */
function nicThread(): string | null {
  return (
    readdirSync('/proc/self/task').find(
      (thread) => readFileSync(`/proc/self/task/${thread}/comm`, 'utf8') === 'soft-nic\n',
    ) ?? null
  )
}

describe('softConnectX', () => {
  test('makes one device with one port, and removes it again', () => {
    expect(listDevices()).toEqual([])
    const made = soft({ macs: ['02:00:0a:01:02:03'] })
    expect(made.devices()).toEqual([
      {
        name: 'mlx5_soft0',
        wakeup: expect.stringMatching(/^(userfaultfd|timer)$/),
        ports: [{ mac: '02:00:0a:01:02:03' }],
      },
    ])
    expect(listDevices()).toEqual([
      { name: 'mlx5_soft0', index: -1, guid: expect.any(String), nodeType: 'CA', transport: 'IB' },
    ])
    const context = open('mlx5_soft0')
    expect(context.queryDevice()).toMatchObject({ vendorId: 0x02c9, physPortCnt: 1 })
    expect(context.queryPort(1)).toMatchObject({ state: 'ACTIVE', linkLayer: 'Ethernet', activeMtu: 4096 })
    expect(context.queryGidTable().map(({ gid, type }) => [gid, type])).toEqual([
      ['fe80::aff:fe01:203', 'RoCE v2'],
      ['::ffff:10.1.2.3', 'RoCE v2'],
    ])
    context.close()
    made.close()
    expect(listDevices()).toEqual([])
    expect(thrownBy(() => open('mlx5_soft0')).code).toBe('ENODEV')
  })

  test('makes two devices on one wire, or one of two ports', () => {
    soft({ wire: 'pair' }).close()
    expect(
      soft({ wire: 'pair' })
        .devices()
        .map(({ name, ports }) => [name, ports.length]),
    ).toEqual([
      ['mlx5_soft0', 1],
      ['mlx5_soft1', 1],
    ])
    opened[1].close()
    const one = soft({ wire: 'pair', ports: 2 })
    expect(one.devices().map(({ name, ports }) => [name, ports.length])).toEqual([['mlx5_soft0', 2]])
    const context = open()
    expect([1, 2].map((port) => context.queryPort(port).state)).toEqual(['ACTIVE', 'ACTIVE'])
    context.close()
  })

  test('one at a time', () => {
    soft()
    expect(thrownBy(() => softConnectX())).toMatchObject({
      name: 'VerbsError',
      code: 'EBUSY',
      syscall: 'softConnectX',
    })
  })

  test('close is idempotent; a closed one refuses calls', () => {
    const made = soft()
    expect(made.closed).toBe(false)
    expect(inspect(made)).toContain("name: 'mlx5_soft0'")
    made.close()
    made[Symbol.dispose]()
    expect(made.closed).toBe(true)
    expect(inspect(made)).toBe('SoftConnectX { closed: true }')
    expect(thrownBy(() => made.devices()).code).toBe('ERR_IBVERBS_CLOSED')
    expect(thrownBy(() => made.setLink('mlx5_soft0', 1, true)).code).toBe('ERR_IBVERBS_CLOSED')
  })

  const wrong: [unknown, string][] = [
    [7, 'ERR_INVALID_ARG_TYPE'],
    [{ wire: 'tin' }, 'ERR_OUT_OF_RANGE'],
    [{ wire: 7 }, 'ERR_INVALID_ARG_TYPE'],
    [{ wire: { socket: '/tmp/a' } }, 'ERR_INVALID_ARG_TYPE'],
    [{ wire: 'loop:a' }, 'ERR_OUT_OF_RANGE'],
    [{ wire: 'pair:a' }, 'ERR_OUT_OF_RANGE'],
    [{ wire: 'socket:/tmp/a;loop' }, 'ERR_OUT_OF_RANGE'],
    [{ wire: 'socket:' }, 'ERR_OUT_OF_RANGE'],
    [{ wire: 'interface:no-such-if0' }, 'ENODEV'],
    [{ mtu: 1500 }, 'ERR_OUT_OF_RANGE'],
    [{ ports: 3 }, 'ERR_OUT_OF_RANGE'],
    [{ ports: 2, wire: 'socket:/tmp/a' }, 'ERR_OUT_OF_RANGE'],
    [{ macs: ['01:00:00:00:00:01'] }, 'ERR_OUT_OF_RANGE'],
    [{ macs: ['02:00:00:00:00'] }, 'ERR_OUT_OF_RANGE'],
    [{ macs: ['02:00:00:00:00:01', '02:00:00:00:00:02'] }, 'ERR_OUT_OF_RANGE'],
    [{ macs: '02:00:00:00:00:01' }, 'ERR_INVALID_ARG_TYPE'],
    [{ link: { loss: 2 } }, 'ERR_OUT_OF_RANGE'],
    [{ link: { loss: [0, 0, 0] } }, 'ERR_INVALID_ARG_TYPE'],
    [{ link: { delay: '5' } }, 'ERR_INVALID_ARG_TYPE'],
    [{ link: { seed: -1 } }, 'ERR_OUT_OF_RANGE'],
    [{ link: { loss: 0.1 }, wire: 'socket:/tmp/a' }, 'ERR_INVALID_ARG_TYPE'],
    [{ minimumInline: 17 }, 'ERR_OUT_OF_RANGE'],
  ]
  test.each(wrong)('%j is refused', (options, code) => {
    expect(thrownBy(() => softConnectX(options as SoftOptions)).code).toBe(code)
    expect(listDevices()).toEqual([])
  })

  test('names its library, which exists', () => {
    expect(existsSync(softLibraryPath())).toBe(true)
  })
})

describe('a link', () => {
  test('goes down and up: events, state, and an error for a missing port', async () => {
    const made = soft({ wire: 'pair' })
    const context = open('mlx5_soft1')
    const signal = AbortSignal.timeout(limit)
    for (const [up, type, state] of [
      [false, 'PORT_ERR', 'DOWN'],
      [true, 'PORT_ACTIVE', 'ACTIVE'],
    ] as const) {
      const event = context.nextEvent({ signal })
      made.setLink('mlx5_soft1', 1, up)
      expect(await event).toEqual({ type, port: 1 })
      expect(context.queryPort(1).state).toBe(state)
    }
    context.close()
    expect(thrownBy(() => made.setLink('mlx5_soft1', 2, true)).code).toBe('EINVAL')
    expect(thrownBy(() => made.setLink('mlx5_soft9', 1, true)).code).toBe('ENODEV')
  })

  test('that loses some frames still delivers every message of RC', async () => {
    soft({ wire: 'pair', link: { loss: 0.2, seed: 7 } })
    const { a, b, close } = connected()
    const receive = b.pair.prepareReceive({ memory: b.memory })
    const send = a.pair.prepareSend({ memory: a.memory })
    for (let i = 0; i < 16; i++) {
      receive.post(i, 4096 * i, 4096)
      a.memory.bytes.fill(i + 1, 4000 * i, 4000 * (i + 1))
      send.post(i, 4000 * i, 4000)
    }
    b.pair.submit()
    a.pair.submit()
    const cookies: number[] = []
    while (cookies.length < 16) {
      const count = await b.cq.wait({ signal: AbortSignal.timeout(limit) })
      for (let i = 0; i < count; i++) cookies.push(b.cq.cookie[i])
    }
    expect(cookies).toEqual([...cookies.keys()])
    for (let i = 0; i < 16; i++) expect(b.memory.bytes[4096 * i + 3999]).toBe(i + 1)
    close()
  })
})

describe('a device that is pulled out', () => {
  test('informs its contexts, flushes the posted requests, and can be closed', async () => {
    const made = soft({ wire: 'pair' })
    const { a, b, close } = connected()
    b.pair.prepareReceive({ memory: b.memory }).post(7)
    b.pair.submit()
    const signal = AbortSignal.timeout(limit)
    const event = b.context.nextEvent({ signal })
    made.close()
    expect(await event).toEqual({ type: 'DEVICE_FATAL' })
    expect(await b.cq.wait({ signal })).toBe(1)
    expect([b.cq.cookie[0], b.cq.statusName(0)]).toEqual([7, 'WR_FLUSH_ERR'])
    expect(listDevices()).toEqual([])
    expect(thrownBy(() => a.context.allocateProtectionDomain()).code).toBe('EIO')
    // More devices may come while it is still open.
    expect(soft().devices()).toHaveLength(1)
    close()
  })
})

describe('nothing is left', () => {
  test('after contexts, traffic and devices, again and again', async () => {
    const round = async () => {
      const made = soft({ wire: 'pair' })
      const { a, b, close } = connected()
      b.pair.prepareReceive({ memory: b.memory }).post(1)
      b.pair.submit()
      a.pair.prepareSend({ memory: a.memory }).post(2, 0, 100)
      a.pair.submit()
      await b.cq.wait({ signal: AbortSignal.timeout(limit) })
      expect(nicThread()).not.toBe(null)
      close()
      expect(nicThread()).toBe(null)
      made.close()
    }
    for (let i = 0; i < 3; i++) await round() // libraries are loaded once, and malloc's arenas come with threads
    // The heaps of V8 and malloc grow by mappings at any time; a mapping leaked in each round shows in every ten
    // rounds.
    for (let growth = 10, tens = 0; growth >= 10 && tens < 10; tens++) {
      const before = resources()
      for (let i = 0; i < 10; i++) await round()
      const after = resources()
      expect({ ...after, mappings: 0 }).toEqual({ ...before, mappings: 0 })
      growth = after.mappings - before.mappings
      if (tens === 9) expect(growth).toBeLessThan(10)
    }
  })
})

describe('an idle NIC', () => {
  test('sleeps: it takes no CPU time while others work', async () => {
    const made = soft({ wire: 'pair' })
    const { a, b, close } = connected()
    const thread = nicThread() as string
    // Asleep in poll(2): S, and its CPU time does not grow while a program runs beside it.
    const field = (name: string) => readFileSync(`/proc/self/task/${thread}/${name}`, 'utf8')
    const asleep = async () => {
      const end = AbortSignal.timeout(limit)
      for (let calm = 0; calm < 100; ) {
        end.throwIfAborted()
        calm = /^\d+ \(soft-nic\) S /.test(field('stat')) ? calm + 1 : 0
        await new Promise((resolve) => setImmediate(resolve))
      }
    }
    await asleep()
    // Nanoseconds on a core while a program runs beside it: none at all, or a look every millisecond. Work right after
    // its creation may fall into the first try; a thread that polls all the time shows in every try.
    const { wakeup } = made.devices()[0]
    const most = wakeup === 'userfaultfd' ? 0 : 0.1
    const spent = () => Number(field('schedstat').split(' ')[0])
    for (let share = 1, tries = 0; share > most; tries++) {
      expect(tries).toBeLessThan(20)
      const [before, begun] = [spent(), process.hrtime.bigint()]
      execFileSync(process.execPath, ['-e', '0'])
      share = (spent() - before) / Number(process.hrtime.bigint() - begun)
    }
    // The first doorbell wakes it.
    b.pair.prepareReceive({ memory: b.memory }).post(1)
    b.pair.submit()
    a.pair.prepareSend({ memory: a.memory }).post(2, 0, 100)
    a.pair.submit()
    expect(await b.cq.wait({ signal: AbortSignal.timeout(limit) })).toBe(1)
    close()
  })
})

describe('other threads and processes', () => {
  test('a worker opens the devices of the process', async () => {
    soft({ wire: 'pair' })
    const worker = new Worker(
      `import('ibverbs').then(({ open, listDevices }) => {
         const context = open('mlx5_soft1')
         context.allocateProtectionDomain().registerMemory(4096)
         require('node:worker_threads').parentPort.postMessage([context.name, listDevices().length])
       })`,
      { eval: true },
    )
    const signal = AbortSignal.timeout(limit)
    // A worker that has ended tells of its last message and its exit in one turn: who waits for one after the other misses it.
    const exited = once(worker, 'exit', { signal })
    expect((await once(worker, 'message', { signal }))[0]).toEqual(['mlx5_soft1', 2])
    await exited
    expect(nicThread()).toBe(null)
  })

  test('a child that is spawned during traffic inherits none of its descriptors', async () => {
    soft({ wire: 'pair' })
    const { a, b, close } = connected()
    const receive = b.pair.prepareReceive({ memory: b.memory })
    const send = a.pair.prepareSend({ memory: a.memory })
    for (let round = 0; round < 20; round++) {
      a.memory.bytes.fill(round + 1, 0, 1000)
      receive.post(round)
      b.pair.submit()
      send.post(round, 0, 1000)
      a.pair.submit()
      // After its standard streams there are only descriptors that Node and ls have opened themselves.
      const listed = execFileSync('ls', ['-l', '/proc/self/fd'], { encoding: 'utf8' })
      expect(listed).not.toMatch(/userfaultfd|eventfd|ibverbs-soft|(\d\d|[3-9]) -> (socket:|\/dev\/null)/)
      expect(await b.cq.wait({ signal: AbortSignal.timeout(limit) })).toBe(1)
      expect(b.memory.bytes[999]).toBe(round + 1)
      expect(await a.cq.wait({ signal: AbortSignal.timeout(limit) })).toBe(1)
    }
    close()
  })

  test('of the MTU that is asked for', () => {
    for (const mtu of [1024, 2048, 4096] as const) {
      const made = soft({ wire: 'pair', mtu })
      for (const { name } of made.devices()) {
        const context = open(name)
        expect(context.queryPort(1).activeMtu).toBe(mtu)
        context.close()
      }
      made.close()
    }
  })
})
