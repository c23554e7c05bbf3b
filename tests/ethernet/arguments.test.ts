/** Every public function with the wrong arguments: an error that names the argument. */
import { Arena, FramePool, PacketQueue, queryInterface } from 'ibverbs/ethernet'
import { describe, expect, test } from 'vitest'
import { native } from '../../dist/native.js'
import { ip, requireOwnNamespace, vethPair } from '../beds/veth.js'
import { openWire } from './traffic.js'

type Options = Record<string, unknown>

const wrongType = (name: string) =>
  expect.objectContaining({
    name: 'TypeError',
    code: 'ERR_INVALID_ARG_TYPE',
    message: expect.stringContaining(`"${name}`),
  })
const outOfRange = (name: string) =>
  expect.objectContaining({
    name: 'RangeError',
    code: 'ERR_OUT_OF_RANGE',
    message: expect.stringContaining(`"${name}`),
  })

describe('open', () => {
  test.each([undefined, null, 5, {}, Symbol('name')])('interface name %s', (name) => {
    expect(() => PacketQueue.open(name as never)).toThrow(wrongType('interfaceName'))
    expect(() => queryInterface(name as never)).toThrow(wrongType('name'))
  })

  test.each<[string, unknown[]]>([
    ['backend', [5, null]],
    ['frames', [5, null, {}, Arena.allocate(10)]],
    ['arena', [5, null, {}, new Uint8Array(10), new SharedArrayBuffer(10)]],
    ['frameSize', ['2048', null, 1n]],
    ['frameCount', ['2', null, {}]],
    ['headroom', ['2', null]],
    ['batch', ['2', null]],
    ['etherType', ['2', null]],
    ['exclusive', [1, null, 'yes']],
    ['queueId', ['1', null]],
    ['receiveFrames', ['1', null]],
    ['busyPoll', ['1', null]],
    ['promiscuous', [1, null, 'yes']],
    ['multicast', [1, null, 'none', {}]],
    ['multicast[0]', []],
    ['outgoing', [1, null]],
    ['timestamps', [1, null]],
    ['receivePath', [1, null]],
    ['transmitOnly', [1, null]],
    ['receiveBuffer', ['1', null]],
    ['sendBuffer', ['1', null]],
  ])('options.%s of a wrong type', (name, values) => {
    using veth = vethPair()
    for (const value of values) {
      expect(() => PacketQueue.open(veth.a, { [name]: value } as Options)).toThrow(
        wrongType(`options.${name}`),
      )
    }
    expect(() => PacketQueue.open(veth.a, { multicast: [5] } as never)).toThrow(
      wrongType('options.multicast[0]'),
    )
  })

  test.each<[string, unknown[]]>([
    ['backend', ['dpdk', '']],
    ['timestamps', ['none', '']],
    ['receivePath', ['mmap', '']],
    ['queueId', [-1, 0.5, 65536]],
    ['receiveFrames', [0, 63, 4097, Number.NaN]],
    ['busyPoll', [-1, 1e6 + 1]],
    ['frameSize', [0, 64, 127, 1000, 2 ** 18, -2048, 0.5, Number.NaN, Number.POSITIVE_INFINITY]],
    ['frameCount', [0, 1, -1, 2 ** 18 + 1, 1e300, Number.NaN]],
    ['headroom', [-1, 2035, 2048, 1e10, Number.NaN]],
    ['batch', [0, -1, 1025, 1.5, Number.NaN]],
    ['etherType', [0, 0x5ff, 0x10000, -1, Number.NaN]],
    ['multicast', [Array.from({ length: 257 }, () => '01:00:5e:00:00:01')]],
    ['multicast', [['02:00:00:00:00:01'], ['01:00:5e:00:00'], [new Uint8Array(5)]]],
    ['receiveBuffer', [-1, 2 ** 31, Number.NaN]],
    ['sendBuffer', [-1, 2 ** 31, Number.NaN]],
  ])('options.%s out of range', (name, values) => {
    using veth = vethPair()
    for (const value of values) {
      expect(() => PacketQueue.open(veth.a, { frameSize: 2048, [name]: value } as Options)).toThrow(
        outOfRange(`options.${name}`),
      )
    }
  })

  test('options that exclude each other', () => {
    using veth = vethPair()
    const frames = new FramePool({ frameCount: 8 })
    for (const [name, value] of Object.entries({ frameSize: 2048, frameCount: 8, headroom: 0 })) {
      expect(() => PacketQueue.open(veth.a, { frames, [name]: value })).toThrow(wrongType(`options.${name}`))
    }
    expect(() => PacketQueue.open(veth.a, { frames, batch: 5 })).toThrow(outOfRange('options.batch'))
    expect(() => PacketQueue.open(veth.a, { frameCount: 100, batch: 51 })).toThrow(
      outOfRange('options.batch'),
    )
    expect(() => new FramePool({ arena: Arena.allocate(4095) })).toThrow(outOfRange('options.arena'))
    expect(() => new FramePool({ arena: Arena.allocate(4096), frameCount: 3 })).toThrow(
      outOfRange('options.frameCount'),
    )
    expect(() => new FramePool({ frameSize: 131072, frameCount: 32768 })).toThrow(
      outOfRange('options.frameCount'),
    )
    for (const options of [5, 'x', null]) {
      expect(() => PacketQueue.open(veth.a, options as never)).toThrow(wrongType('options'))
      expect(() => new FramePool(options as never)).toThrow(wrongType('options'))
    }
    expect(frames.free).toBe(8)
  })

  test('refused options leave no handle', () => {
    using veth = vethPair()
    const before = native.handleCount()
    expect(() => PacketQueue.open(veth.a, { batch: 5000 })).toThrow()
    expect(() => PacketQueue.open('nosuch')).toThrow()
    expect(native.handleCount()).toBe(before)
  })

  test('not Ethernet', () => {
    requireOwnNamespace()
    ip('tuntap', 'add', 'dev', 'tunnel0', 'mode', 'tun')
    try {
      expect(queryInterface('tunnel0')).toMatchObject({ type: 65534, mac: '', up: false })
      expect(() => PacketQueue.open('tunnel0')).toThrow(
        expect.objectContaining({ code: 'ENOTSUP', message: expect.stringContaining('hardware type 65534') }),
      )
    } finally {
      ip('link', 'del', 'tunnel0')
    }
  })
})

describe('methods', () => {
  test('waits', async () => {
    using wire = openWire()
    for (const options of [5, null, 'x']) {
      await expect(wire.a.wait(options as never)).rejects.toEqual(wrongType('options'))
      await expect(wire.a.spin(1, options as never)).rejects.toEqual(wrongType('options'))
      await expect(wire.a.drain(options as never)).rejects.toEqual(wrongType('options'))
      expect(() => wire.a.batches(options as never)).toThrow(wrongType('options'))
    }
    for (const signal of [5, null, {}, new AbortController()]) {
      const options = { signal } as never
      await expect(wire.a.wait(options)).rejects.toEqual(wrongType('options.signal'))
      await expect(wire.a.spin(1, options)).rejects.toEqual(wrongType('options.signal'))
      await expect(wire.a.drain(options)).rejects.toEqual(wrongType('options.signal'))
      expect(() => wire.a.batches(options)).toThrow(wrongType('options.signal'))
    }
    for (const time of [undefined, '5', null, 5n]) {
      await expect(wire.a.spin(time as never)).rejects.toEqual(wrongType('microseconds'))
    }
    for (const time of [-1, Number.NaN]) {
      await expect(wire.a.spin(time)).rejects.toEqual(outOfRange('microseconds'))
    }
    // No refused call left a wait behind.
    expect(await wire.a.spin(0)).toBe(0)
  })

  test('send', () => {
    using wire = openWire()
    const slot = wire.a.claim()
    for (const value of [undefined, '60', null, 60n, {}]) {
      expect(() => wire.a.send(slot, value as never)).toThrow(wrongType('length'))
    }
    for (const value of ['60', 60n, {}]) {
      expect(() => wire.a.send(slot, 60, value as never)).toThrow(wrongType('offset'))
    }
    expect(wire.a.pending).toBe(0)
  })

  test('the interface', () => {
    using wire = openWire()
    for (const value of [undefined, null, 1, 'on']) {
      expect(() => wire.a.setPromiscuous(value as never)).toThrow(wrongType('on'))
    }
    for (const call of ['joinMulticast', 'leaveMulticast'] as const) {
      for (const value of [undefined, null, 1, {}]) {
        expect(() => wire.a[call](value as never)).toThrow(wrongType('group'))
      }
      for (const value of ['02:00:00:00:00:01', 'x', new Uint8Array(6), new Uint8Array(7)]) {
        expect(() => wire.a[call](value)).toThrow(outOfRange('group'))
      }
    }
  })
})

describe('the binding itself', () => {
  const { interfaces, xdp, raw, ethtool, pcap, link, ...packet } = native.ethernet
  // Any number is a valid interface index.
  const { watch, ...watched } = link
  const { attached, ...socket } = xdp
  const calls = [
    ...Object.entries(packet),
    ...Object.entries(socket).map(([name, call]) => [`xdp ${name}`, call]),
    ...Object.entries(watched).map(([name, call]) => [`link ${name}`, call]),
    ...Object.entries(raw).map(([name, call]) => [`raw ${name}`, call]),
  ] as [string, (...values: unknown[]) => unknown][]
  const junk = [
    undefined,
    null,
    -1,
    0,
    1,
    2 ** 31,
    1e300,
    Number.NaN,
    'x',
    {},
    [],
    new Uint32Array(4),
    () => {},
    1n,
  ]

  test.each(calls)('%s survives junk', (_, call) => {
    const before = native.handleCount()
    for (const first of junk) {
      for (const second of junk) {
        expect(() => call(first, second, first, second)).toThrow(
          expect.objectContaining({
            code: expect.stringMatching(/^ERR_(INVALID_ARG_TYPE|OUT_OF_RANGE|IBVERBS_CLOSED)$/),
          }),
        )
      }
    }
    expect(() => call()).toThrow()
    expect(native.handleCount()).toBe(before)
  })

  test('open checks every option', () => {
    const shared = (words: number): Uint32Array => new Uint32Array(new SharedArrayBuffer(words * 4))
    const good = {
      interfaceIndex: 1,
      batch: 4,
      frameSize: 128,
      headroom: 0,
      outgoing: false,
      transmitOnly: false,
      receiveBuffer: 0,
      sendBuffer: 0,
      filter: Uint32Array.of(6, 0, 0, 0),
      arena: shared(64),
      frames: shared(16),
      fill: shared(32 + 8),
      receive: shared(32 + 16),
      transmit: shared(32 + 16),
      onEvent: () => {},
    }
    const before = native.handleCount()
    const bad: Options = {
      interfaceIndex: [-(2 ** 31) - 1, 'x', Number.NaN],
      batch: [0, 1025, 'x'],
      frameSize: [0, 100, 32, 512, 'x'],
      headroom: [115, 'x'],
      outgoing: [1],
      transmitOnly: [1],
      receiveBuffer: [-1, 'x'],
      sendBuffer: [-1, 'x'],
      filter: [[], new Uint8Array(4), new Uint32Array(0), new Uint32Array(4 * 4097), shared(0)],
      arena: [new Uint8Array(1024), new SharedArrayBuffer(256), shared(1), null],
      frames: [new Uint8Array(1024), shared(7), new Uint8Array(new SharedArrayBuffer(65), 1)],
      fill: [
        shared(32),
        shared(0),
        shared(32 + 6),
        new Uint32Array(40),
        new Uint8Array(new SharedArrayBuffer(161), 1),
      ],
      receive: [shared(32), shared(32 + 12)],
      transmit: [shared(32), shared(32 + 12)],
      onEvent: [undefined, 5],
    }
    const open = native.ethernet.open as (options: unknown) => number
    for (const [name, values] of Object.entries(bad)) {
      for (const value of values as unknown[]) {
        expect(() => open({ ...good, [name]: value }), `${name}: ${String(value)}`).toThrow(
          expect.objectContaining({ code: expect.stringMatching(/^ERR_(INVALID_ARG_TYPE|OUT_OF_RANGE)$/) }),
        )
      }
    }
    // A program that the kernel's own checker refuses.
    expect(() => open({ ...good, filter: Uint32Array.of(0xffff, 0, 0, 0) })).toThrow(
      expect.objectContaining({ code: 'EINVAL', message: expect.stringContaining('SO_ATTACH_FILTER') }),
    )
    expect(native.handleCount()).toBe(before)
  })
})
