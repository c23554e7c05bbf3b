/** A frame's arrival time: by the kernel's clock, or by the device's where it has one. */
import { PacketQueue } from 'ibverbs/ethernet'
import { describe, expect, test } from 'vitest'
import { vethPair } from '../beds/veth.js'
import { frame, openWire, receiveOne, transmit } from './traffic.js'

describe.each(['ring', 'recvmmsg'] as const)('%s', (receivePath) => {
  test.each([true, 'software'] as const)('timestamps: %s', async (timestamps) => {
    using wire = openWire({ receivePath, timestamps })
    let last = 0
    for (let i = 0; i < 5; i++) {
      const before = Date.now()
      transmit(wire.a, frame(wire.b, wire.a, 60, i))
      const slot = await receiveOne(wire.b)
      const time = wire.b.seconds(slot) * 1000 + wire.b.nanoseconds(slot) / 1e6
      // The clock that Date.now() truncates to milliseconds.
      expect(time).toBeGreaterThanOrEqual(Math.max(before, last))
      expect(time).toBeLessThanOrEqual(Date.now() + 1)
      expect(wire.b.nanoseconds(slot)).toBeLessThan(1e9)
      last = time
      wire.b.release(slot)
    }
  })

  test('none', async () => {
    using wire = openWire({ receivePath })
    transmit(wire.a, frame(wire.b, wire.a, 60))
    const slot = await receiveOne(wire.b)
    expect([wire.b.seconds(slot), wire.b.nanoseconds(slot)]).toEqual([0, 0])
  })

  test('refuses a device without a clock, with its driver’s error', () => {
    using veth = vethPair()
    expect(() => PacketQueue.open(veth.a, { receivePath, timestamps: 'hardware' })).toThrow(
      expect.objectContaining({
        name: 'VerbsError',
        code: 'ENOTSUP',
        syscall: 'ioctl',
        message: expect.stringContaining(
          `"${veth.a}" stamps no received frames itself (ETHTOOL_GET_TS_INFO): use timestamps 'software'`,
        ),
      }),
    )
  })
})
