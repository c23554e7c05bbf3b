/**
 * The frames that a queue accepts by destination. The last frame of each test goes to the queue's own address and ends
 * it.
 */
import { readFileSync } from 'node:fs'
import { formatMac, listInterfaces, PacketQueue, parseMac, queryInterface } from 'ibverbs/ethernet'
import { describe, expect, test } from 'vitest'
import { ip } from '../beds/veth.js'
import { addressing, collect, frame, on, openWire, transmit, type Wire } from './traffic.js'

const stranger = parseMac('02:00:00:00:00:99')
const group = parseMac('01:00:5e:00:00:fb')
const otherGroup = parseMac('33:33:00:00:00:01')
const broadcast = parseMac('ff:ff:ff:ff:ff:ff')

/** Sends a frame to each address, then one to b itself; returns those that arrive. */
async function arriving(wire: Wire, ...targets: Uint8Array[]): Promise<string[]> {
  const own = wire.b.interface.macBytes
  transmit(wire.a, ...[...targets, own].map((to) => frame(to, wire.a, 60)))
  const arrived: string[] = []
  do arrived.push(...(await collect(wire.b, 1)).map((bytes) => formatMac(bytes)))
  while (arrived.at(-1) !== formatMac(own))
  return arrived.slice(0, -1)
}

describe.each(addressing)('%s', (backend) => {
  const { openWire, open, raw } = on(backend)

  test('accepts its own address and broadcast by default', async () => {
    using wire = openWire()
    expect(await arriving(wire, stranger, group, broadcast)).toEqual([formatMac(broadcast)])
  })

  test('promiscuous on and off', async () => {
    using wire = openWire()
    const all = [stranger, group, broadcast].map((mac) => formatMac(mac))
    wire.b.setPromiscuous(true)
    wire.b.setPromiscuous(true)
    expect(await arriving(wire, stranger, group, broadcast)).toEqual(all)
    wire.b.setPromiscuous(false)
    expect(await arriving(wire, stranger, group, broadcast)).toEqual([formatMac(broadcast)])
    wire.b.close()
    using promiscuous = open(wire.veth.b, { promiscuous: true })
    transmit(wire.a, frame(stranger, wire.a, 60))
    expect(await collect(promiscuous, 1)).toEqual([frame(stranger, wire.a, 60)])
  })

  test.skipIf(raw)('promiscuous reaches the device, and leaves it with the queue', () => {
    using wire = openWire()
    const promiscuity = (): string =>
      /promiscuity (\d+)/.exec(ip('-d', 'link', 'show', wire.veth.b))?.[1] ?? 'none'
    expect(promiscuity()).toBe('0')
    wire.b.setPromiscuous(true)
    expect(promiscuity()).toBe('1')
    wire.b.close()
    expect(promiscuity()).toBe('0')
  })

  describe('multicast', () => {
    test('join and leave', async () => {
      using wire = openWire()
      wire.b.joinMulticast('01:00:5E:00:00:FB')
      wire.b.joinMulticast(group)
      expect(await arriving(wire, stranger, group, otherGroup)).toEqual([formatMac(group)])
      wire.b.joinMulticast(otherGroup)
      expect(await arriving(wire, group, otherGroup)).toEqual([formatMac(group), formatMac(otherGroup)])
      wire.b.leaveMulticast('01-00-5e-00-00-fb')
      expect(await arriving(wire, group, otherGroup)).toEqual([formatMac(otherGroup)])
      wire.b.leaveMulticast(group)
      expect(await arriving(wire, group, otherGroup)).toEqual([formatMac(otherGroup)])
    })

    test('groups and all groups from the start', async () => {
      using wire = openWire({ multicast: ['33:33:00:00:00:01', group] })
      expect(await arriving(wire, stranger, group, otherGroup)).toEqual([
        formatMac(group),
        formatMac(otherGroup),
      ])
      using all = openWire({ multicast: 'all' })
      expect(await arriving(all, stranger, group)).toEqual([formatMac(group)])
    })

    test('distinguishes as many groups as a program holds', async () => {
      const groups = Array.from({ length: 256 }, (_, i) => Uint8Array.of(0x33, 0x33, i, 7, i, i))
      using wire = openWire({ multicast: groups })
      const near = Uint8Array.of(0x33, 0x33, 255, 7, 255, 254)
      expect(await arriving(wire, near, groups[0], groups[255], group)).toEqual([
        formatMac(groups[0]),
        formatMac(groups[255]),
      ])
      expect(() => wire.b.joinMulticast(group)).toThrow(expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' }))
      wire.b.joinMulticast(groups[3])
    })

    test.skipIf(raw)('the device knows the groups while the queue is open', () => {
      using wire = openWire()
      const joined = (): boolean =>
        readFileSync('/proc/self/net/dev_mcast', 'latin1')
          .split('\n')
          .some((line) => line.includes(wire.veth.b) && line.endsWith('01005e0000fb'))
      expect(joined()).toBe(false)
      wire.b.joinMulticast(group)
      expect(joined()).toBe(true)
      wire.b.close()
      expect(joined()).toBe(false)
    })
  })
})

describe('interfaces', () => {
  test('listed and queried', () => {
    using wire = openWire({ mtu: 1400 })
    const names = listInterfaces().map((entry) => entry.name)
    expect(names).toContain('lo')
    expect(names).toContain(wire.veth.a)
    const found = queryInterface(wire.veth.a)
    expect(found).toEqual(listInterfaces().find((entry) => entry.name === wire.veth.a))
    expect(found.mac).toMatch(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/)
    expect(parseMac(found.mac)).toEqual(found.macBytes)
    expect(found).toMatchObject({ mtu: 1400, type: 1, up: true, running: true, loopback: false })
    expect(queryInterface('lo')).toMatchObject({ index: 1, loopback: true, mtu: 65536, type: 772 })
  })

  test('a missing one: ENODEV lists the existing ones', () => {
    expect(() => queryInterface('nosuch')).toThrow(
      expect.objectContaining({
        code: 'ENODEV',
        errno: -19,
        message: expect.stringMatching(/"nosuch".*there are:.*lo/),
      }),
    )
    expect(() => PacketQueue.open('')).toThrow(expect.objectContaining({ code: 'ENODEV' }))
    for (const name of ['nosuch', 'mlx5_9/1', 'mlx5_9/x']) {
      expect(() => PacketQueue.open(name)).toThrow(
        expect.objectContaining({
          code: 'ENODEV',
          message: expect.stringMatching(
            new RegExp(
              `"${name}" is neither an interface \\(there are: .*lo.*\\) nor a port of an RDMA device, DEVICE/PORT \\(there are: `,
            ),
          ),
        }),
      )
    }
    expect(() => PacketQueue.open('x'.repeat(10_000))).toThrow(expect.objectContaining({ code: 'ENODEV' }))
  })
})

describe('addresses', () => {
  test('parse and format', () => {
    const bytes = Uint8Array.of(0, 0x1b, 0xff, 0xa, 0xb, 0xc)
    expect(parseMac('00:1b:FF:0a:0B:0c')).toEqual(bytes)
    expect(parseMac('00-1b-ff-0a-0b-0c')).toEqual(bytes)
    expect(parseMac(bytes)).toEqual(bytes)
    expect(formatMac(bytes)).toBe('00:1b:ff:0a:0b:0c')
    expect(formatMac(Uint8Array.of(9, 9, ...bytes), 2)).toBe('00:1b:ff:0a:0b:0c')
  })

  test.each([
    '',
    '00:11:22:33:44',
    '00:11:22:33:44:55:66',
    '00:11:22:33:44:5g',
    '00:11-22:33:44:55',
    '001122334455',
  ])('refuse %j', (text) =>
    expect(() => parseMac(text)).toThrow(expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' })),
  )

  test('refuse invalid ones', () => {
    expect(() => parseMac(new Uint8Array(5))).toThrow(expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' }))
    for (const value of [undefined, null, 5, {}, [1, 2, 3, 4, 5, 6]]) {
      expect(() => parseMac(value as never)).toThrow(
        expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }),
      )
      expect(() => formatMac(value as never)).toThrow(
        expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }),
      )
    }
    for (const offset of [-1, 1, 0.5, Number.NaN]) {
      expect(() => formatMac(new Uint8Array(6), offset)).toThrow(
        expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' }),
      )
    }
  })
})
