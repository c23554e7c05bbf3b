/** AF_XDP's rings, which are the kernel's own memory: where they lie, who may write into them, and looks into them. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Random } from '../beds/random.js'
import { type VethPair, vethPair } from '../beds/veth.js'
import { forge, goOn } from './forged-rings.js'
import { command, programPath, run } from './program.js'
import { collect, copy, frame, on, receiveOne, transmit } from './traffic.js'

const { open, openWire } = on('af_xdp')

describe('memory', () => {
  let veths: VethPair
  beforeAll(() => {
    veths = vethPair()
  })
  afterAll(() => veths.remove())

  test.each(['fill', 'receive', 'transmit', 'completion'] as const)(
    'the %s ring, taken away by its user: errors that can be caught, and a close that harms nobody',
    async (name) => {
      expect(await run('transfer.mjs', name, veths.a, veths.b)).toEqual({ code: 0, output: 'alive\n' })
    },
  )

  test('a closed queue’s rings are all zero, and still safe to read and to write', () => {
    using wire = openWire()
    const { rings } = wire.a
    wire.a.close()
    for (const words of Object.values(rings)) {
      expect(words.some((word) => word !== 0)).toBe(false)
      words[0] = 1
      expect(Atomics.load(words, 0)).toBe(1)
    }
  })

  test('the rings are where ringLayouts says', async () => {
    using wire = openWire()
    const { a, b } = wire
    transmit(a, frame(b, a, 77))
    expect(await b.wait()).toBe(1)
    const { rings, ringLayouts } = b
    expect(rings.receive[ringLayouts.receive.producer]).toBe(1)
    expect(rings.receive[ringLayouts.receive.consumer]).toBe(0)
    expect(rings.receive[ringLayouts.receive.records + 2]).toBe(77)
    expect(ringLayouts.receive.capacity).toBe(2048)
    expect(rings.fill[ringLayouts.fill.producer]).toBe(2048)
    expect(a.rings.transmit[a.ringLayouts.transmit.consumer]).toBe(1)
  })

  test('too little locked memory: ENOBUFS, and the limit in force', async () => {
    using veth = vethPair()
    const { output } = await command(
      'prlimit',
      '--memlock=65536',
      'setpriv',
      '--inh-caps=-ipc_lock',
      '--bounding-set=-ipc_lock',
      process.execPath,
      programPath('open.mjs'),
      veth.a,
      'af_xdp',
    )
    expect(output).toMatch(
      /^ENOBUFS setsockopt ENOBUFS: setsockopt: XDP_UMEM_REG \(locked memory is limited to 64 KiB: raise/,
    )
  })
})

describe('foreign writes to the kernel’s rings', () => {
  test('lose frames at most; the process and the interface live on', async () => {
    using veth = vethPair()
    const random = new Random(20260101)
    const errors = new Set<string>()
    for (let round = 0; round < 6; round++) {
      using a = open(veth.a, { frameCount: 64, batch: 16, promiscuous: true })
      using b = open(veth.b, { frameCount: 64, batch: 16, promiscuous: true })
      for (let i = 0; i < 300; i++) {
        for (const queue of [a, b]) {
          forge(queue, random, 3)
          goOn(queue, random, errors)
        }
      }
    }
    for (const code of errors)
      expect(['ERANGE', 'ENOBUFS', 'EMSGSIZE', 'EINVAL', 'EOVERFLOW']).toContain(code)
    using a = open(veth.a)
    using b = open(veth.b)
    transmit(a, frame(b, a, 60, 5))
    expect(await collect(b, 1)).toEqual([frame(b, a, 60, 5)])
  })

  test('never hand out a frame that the caller holds', async () => {
    using wire = openWire()
    const { a, b } = wire
    const mine = b.claim()
    transmit(a, frame(b, a, 60))
    await b.wait()
    b.rings.receive[b.ringLayouts.receive.records] = b.offset(mine)
    expect(b.receive()).toBe(0)
    expect(b.statistics().invalid).toBe(1)
    b.release(mine)
  })

  test('never free a frame that was not sent', () => {
    using wire = openWire()
    const { a } = wire
    const mine = a.claim()
    a.rings.completion[a.ringLayouts.completion.producer] = 1
    a.rings.completion[a.ringLayouts.completion.records] = a.offset(mine)
    a.submit()
    a.release(mine)
    expect(() => a.release(mine)).toThrow(expect.objectContaining({ code: 'ERR_IBVERBS_STALE_SLOT' }))
  })
})

describe('looking', () => {
  test('makes no system call while the queue is empty', async () => {
    using veth = vethPair()
    // The kernel counts them, as strace would show for 100 000 looks.
    const { code, output } = await run('looks.mjs', veth.a)
    expect(code, output).toBe(0)
    const { looks, systemCalls } = JSON.parse(output)
    expect(looks).toBe(100_000)
    expect(systemCalls).toBe(0)
  })

  test('sets busy polling, and the queue works with it', async () => {
    using wire = openWire({ busyPoll: 20 })
    const { a, b } = wire
    transmit(a, frame(b, a, 60, 3))
    expect(await b.spin(1e6)).toBe(1)
    expect(copy(b, await receiveOne(b))).toEqual(frame(b, a, 60, 3))
    expect(b.report.notUsed.map(({ what }) => what)).not.toContain('SO_BUSY_POLL')
  })
})
