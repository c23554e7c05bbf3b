/**
 * DPDK's testpmd as the peer, both ways, over both of its drivers: only in `npm run test:long`, because it takes a
 * processor.
 */
import { PacketQueue, queryInterface } from 'ibverbs/ethernet'
import { describe, expect, test } from 'vitest'
import { limit } from '../beds/limit.js'
import { Random } from '../beds/random.js'
import { type Driver, startTestpmd } from '../beds/testpmd.js'
import { vethPair } from '../beds/veth.js'
import { ibverbs } from '../cli/run.js'
import { backends, collect, transmit } from './traffic.js'

const minutes = 60_000
const drivers: Driver[] = ['net_af_packet', 'net_af_xdp']
const random = new Random(11)
/** Random bytes, up to the MTU. */
const list = Array.from({ length: 1000 }, () => {
  const frame = random.bytes(60 + random.below(1455))
  frame[0] &= 0xfe
  frame.set([0x88, 0xb5], 12)
  return frame
})
const hex = (frames: readonly Uint8Array[]) => frames.map((frame) => Buffer.from(frame).toString('hex'))

describe.each(drivers)('testpmd with %s', (driver) => {
  describe.each(backends)('and our %s', (backend) => {
    test('forwards our frames from wire to wire, both ways, every byte', {
      timeout: 2 * minutes,
    }, async () => {
      using left = vethPair()
      using right = vethPair()
      await using testpmd = await startTestpmd(driver, [left.b, right.a], 'io')
      using a = PacketQueue.open(left.a, { backend, promiscuous: true })
      using b = PacketQueue.open(right.b, { backend, promiscuous: true })
      await testpmd.command('start')
      for (const [from, to] of [
        [a, b],
        [b, a],
      ]) {
        // Fewer at a time than its rings hold.
        for (let at = 0; at < list.length; at += 100) {
          const some = list.slice(at, at + 100)
          const arriving = collect(to, some.length)
          transmit(from, ...some)
          expect(hex(await arriving)).toEqual(hex(some))
        }
      }
      await testpmd.command('stop')
      for (const port of [0, 1]) {
        expect(await testpmd.statistics(port)).toMatchObject({ received: 1000, transmitted: 1000 })
      }
    })

    test('sends our test frames back: none is lost', { timeout: 2 * minutes }, async () => {
      using wire = vethPair()
      await using testpmd = await startTestpmd(driver, [wire.b], 'macswap')
      await testpmd.command('start')
      const flags = ['--to', queryInterface(wire.b).mac, '-r', '2k', '-c', '5000', '--backend', backend]
      const { code, stdout } = await ibverbs([
        'generate',
        wire.a,
        ...flags,
        '--receive',
        '--json',
        '--linger',
        '10',
      ])
      expect({ code, received: JSON.parse(stdout).received }).toMatchObject({
        code: 0,
        received: { frames: 5000, lost: 0, duplicated: 0, reordered: 0, foreign: 0 },
      })
    })

    test('floods us: every frame that it sent was received or counted', {
      timeout: 2 * minutes,
    }, async () => {
      using wire = vethPair()
      await using testpmd = await startTestpmd(driver, [wire.b], 'txonly')
      using queue = PacketQueue.open(wire.a, { backend, promiscuous: true, etherType: 0x0800 })
      await testpmd.command('start')
      const signal = AbortSignal.timeout(limit)
      let received = 0
      const take = () => {
        const n = queue.receive()
        for (let i = 0; i < n; i++) {
          const slot = queue.slot(i)
          // Its defaults: 64 bytes of UDP from port 9 to port 9.
          expect(queue.length(slot)).toBe(64)
          queue.release(slot)
        }
        received += n
        return n
      }
      while (received < 20_000) {
        await queue.wait({ signal })
        take()
      }
      await testpmd.command('stop')
      while (take() > 0) {}
      const { transmitted } = await testpmd.statistics(0)
      const { dropped } = queue.statistics()
      expect(received + dropped).toBe(transmitted)
    })
  })
})
