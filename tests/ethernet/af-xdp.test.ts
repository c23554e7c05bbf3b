/**
 * AF_XDP as a backend: when it is chosen, what it refuses, and the program that it puts on the interface. Tests of what
 * it has in common with the other backends are in the other files, over all of them.
 */

import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { Arena, PacketQueue } from 'ibverbs/ethernet'
import { describe, expect, test } from 'vitest'
import { native } from '../../dist/native.js'
import { ip, vethPair } from '../beds/veth.js'
import { command, programPath, run } from './program.js'
import { collect, etherType, frame, on, transmit } from './traffic.js'

const { open } = on('af_xdp')

/** The program on an interface, as ip(8) sees it: 'xdp' (native), 'xdpgeneric', or none. */
function programOn(name: string): string | undefined {
  return /\bprog\/(xdp\w*)/.exec(ip('-d', 'link', 'show', name))?.[1]
}

describe('which backend', () => {
  test('by default a packet socket, which leaves the frames to the kernel', () => {
    using veth = vethPair()
    using queue = PacketQueue.open(veth.a)
    expect(queue.report).toEqual({
      backend: 'af_packet',
      zeroCopy: false,
      receivePath: 'ring',
      mode: null,
      multiBuffer: false,
      sharedMemory: false,
      striding: null,
      queueId: null,
      queues: 1,
      fanout: null,
      untold: [],
      carrier: true,
      notUsed: [{ what: 'af_xdp', why: expect.stringContaining('exclusive: true') }],
    })
    using named = PacketQueue.open(veth.a, { backend: 'af_packet' })
    expect(named.report.notUsed).toEqual([])
  })

  test('exclusive: AF_XDP, native, copying on a veth, and why not without a copy', () => {
    using veth = vethPair()
    using queue = PacketQueue.open(veth.a, { exclusive: true })
    expect(queue.report).toEqual({
      backend: 'af_xdp',
      zeroCopy: false,
      receivePath: 'ring',
      mode: 'native',
      multiBuffer: true,
      sharedMemory: false,
      striding: null,
      queueId: 0,
      queues: 1,
      fanout: null,
      untold: [
        {
          what: expect.stringMatching(/^partial checksums/),
          when: expect.any(String),
          ends: expect.any(String),
        },
        { what: 'VLAN tags', when: expect.any(String), ends: expect.stringContaining('rxvlan off') },
      ],
      carrier: true,
      notUsed: [
        { what: 'zero-copy, multi-buffer', why: 'ENOTSUP' },
        { what: 'zero-copy', why: 'ENOTSUP' },
      ],
    })
    expect(programOn(veth.a)).toBe('xdp')
    queue.close()
    expect(programOn(veth.a)).toBe(undefined)
  })

  test('generic where the driver has no XDP of its own', async () => {
    ip('link', 'set', 'lo', 'up')
    using queue = PacketQueue.open('lo', { exclusive: true, promiscuous: true, etherType })
    expect(queue.report).toMatchObject({ backend: 'af_xdp', mode: 'generic', queues: 0 })
    expect(queue.report.notUsed).toContainEqual({ what: 'native, multi-buffer', why: 'ENOTSUP' })
    expect(programOn('lo')).toBe('xdp')
    const sent = frame(new Uint8Array(6), queue, 100, 8)
    transmit(queue, sent)
    expect(await collect(queue, 1)).toEqual([sent])
  })

  test('exclusive with an option that AF_XDP lacks: a packet socket, and the reason', async () => {
    using veth = vethPair()
    const warned = once(process, 'warning')
    using queue = PacketQueue.open(veth.a, { exclusive: true, timestamps: true })
    expect(queue.backend).toBe('af_packet')
    expect(queue.report.notUsed).toEqual([
      {
        what: 'af_xdp',
        why: "options.timestamps must be left out, or with backend: 'af_packet' or backend: 'mlx5'",
      },
    ])
    expect((await warned)[0]).toMatchObject({
      name: 'IbverbsWarning',
      code: 'IBVERBS_NOT_EXCLUSIVE',
      message: expect.stringContaining(
        'exclusive: true is AF_PACKET here, and the kernel sees the frames too: options.timestamps',
      ),
    })
  })

  test('exclusive with channels that the device has not: the error, and never a packet socket instead', () => {
    using veth = vethPair({ queues: 1 })
    const before = native.handleCount()
    expect(() => PacketQueue.open(veth.a, { exclusive: true, channels: 2 })).toThrow(
      expect.objectContaining({
        code: 'EINVAL',
        syscall: 'ioctl',
        message: expect.stringContaining(`ETHTOOL_SCHANNELS of "${veth.a}": asked for 2 receive, 2 transmit`),
      }),
    )
    expect(programOn(veth.a)).toBe(undefined)
    expect(native.handleCount()).toBe(before)
  })

  test('headroom: up to the kernel’s limit, an error in words beyond it, and never a packet socket instead', () => {
    using veth = vethPair()
    const room = { frameSize: 2048, frameCount: 64 }
    using queue = open(veth.a, { ...room, headroom: 1600 })
    expect(queue.backend).toBe('af_xdp')
    for (const way of [{ backend: 'af_xdp' }, { exclusive: true }] as const) {
      expect(() => PacketQueue.open(veth.b, { ...way, ...room, headroom: 1601 })).toThrow(
        expect.objectContaining({
          code: 'ERR_OUT_OF_RANGE',
          message: expect.stringContaining(
            `"options.headroom" must be at most 1600 with backend 'af_xdp': its buffers are of 2048 bytes, not 1601`,
          ),
        }),
      )
    }
  })

  test('busyPoll on a device without NAPI: reported once the kernel reports it', async () => {
    ip('link', 'set', 'lo', 'up')
    using queue = open('lo', { promiscuous: true, etherType, busyPoll: 20, frameCount: 64 })
    const busy = () => queue.report.notUsed.find(({ what }) => what === 'busyPoll')
    expect(busy()).toBe(undefined)
    transmit(queue, frame(new Uint8Array(6), queue, 100, 8))
    await collect(queue, 1)
    expect(busy()?.why).toMatch(/^"lo" has no NAPI here/)
    expect(queue.report.untold.map(({ what }) => what)[0]).toMatch(/^super-frames/)
  })

  test('exclusive on an interface with several receive queues: all of them, unless one is named', () => {
    using veth = vethPair({ queues: 2 })
    using whole = PacketQueue.open(veth.a, { exclusive: true })
    expect(whole.report).toMatchObject({ backend: 'af_xdp', queueId: 'all', queues: 2 })
    whole.close()
    using one = PacketQueue.open(veth.a, { exclusive: true, queueId: 1 })
    expect(one.report).toMatchObject({ backend: 'af_xdp', queueId: 1, queues: 2 })
    expect(() => PacketQueue.open(veth.b, { exclusive: true, queueId: 2 })).toThrow(
      expect.objectContaining({ code: 'EINVAL', message: expect.stringContaining('it has 2, 0 to 1') }),
    )
    for (const queueId of [-1, 4096, 1.5, Number.NaN]) {
      expect(() => open(veth.b, { queueId })).toThrow(expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' }))
    }
    for (const queueId of ['1', 'none', null, 1n] as never[]) {
      expect(() => open(veth.b, { queueId })).toThrow(
        expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE', message: expect.stringContaining("'all'") }),
      )
    }
  })

  test.each<[string, object, string, string]>([
    ['outgoing', { outgoing: true }, 'ERR_INVALID_ARG_TYPE', 'af_packet'],
    ['timestamps', { timestamps: true }, 'ERR_INVALID_ARG_TYPE', 'af_packet'],
    ['receivePath', { receivePath: 'ring' }, 'ERR_INVALID_ARG_TYPE', 'af_packet'],
    ['receiveBuffer', { receiveBuffer: 65536 }, 'ERR_INVALID_ARG_TYPE', 'af_packet.*receiveFrames'],
    ['transmitChecksum', { transmitChecksum: true }, 'ERR_INVALID_ARG_TYPE', 'raw_packet_qp'],
    ['frameSize', { frameSize: 1024 }, 'ERR_OUT_OF_RANGE', 'af_xdp'],
    ['headroom', { headroom: 1900, frameSize: 2048 }, 'ERR_OUT_OF_RANGE', 'af_xdp'],
    ['arena', { arena: Arena.over(Arena.allocate(65536).bytes.subarray(64)) }, 'ERR_OUT_OF_RANGE', 'af_xdp'],
  ])('what it has not is refused by name: %s', (name, options, code, words) => {
    using veth = vethPair()
    const before = native.handleCount()
    const message = expect.stringMatching(new RegExp(`"options.${name}".*${words}`))
    expect(() => open(veth.a, options)).toThrow(expect.objectContaining({ code, message }))
    expect(native.handleCount()).toBe(before)
  })

  test('exclusive refuses an AF_XDP option together with an AF_PACKET option', () => {
    using veth = vethPair()
    for (const options of [{ queueId: 0 }, { busyPoll: 20 }, { channels: 1 }]) {
      expect(() => PacketQueue.open(veth.a, { exclusive: true, timestamps: true, ...options })).toThrow(
        expect.objectContaining({
          code: 'ERR_INVALID_ARG_TYPE',
          message: expect.stringContaining('"options.timestamps" must be left out'),
        }),
      )
    }
    using off = open(veth.a, { outgoing: false, timestamps: false, transmitChecksum: false })
    expect(off.backend).toBe('af_xdp')
  })

  test('other backends refuse its options', () => {
    using veth = vethPair()
    for (const options of [{ queueId: 0 }, { busyPoll: 20 }, { backend: 'af_packet', queueId: 0 }] as const) {
      expect(() => PacketQueue.open(veth.a, options)).toThrow(
        expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE', message: expect.stringContaining('af_xdp') }),
      )
    }
  })
})

test('in a user namespace: EPERM names the missing capabilities, and transmitOnly works', async () => {
  const { code, output } = await command(
    'unshare',
    '-Urn',
    process.execPath,
    '--no-warnings',
    programPath('unprivileged-xdp.mjs'),
  )
  expect(code, output).toBe(0)
  expect(JSON.parse(output)).toEqual({
    named: {
      code: 'EPERM',
      syscall: 'bpf',
      message:
        'EPERM: bpf: BPF_MAP_CREATE (an XDP program needs CAP_NET_ADMIN and CAP_BPF (or CAP_SYS_ADMIN) in the first ' +
        "user namespace, which unshare -U leaves: run as root, or use backend 'af_packet')",
    },
    exclusive: 'af_packet',
    why: expect.stringContaining('EPERM: bpf: BPF_MAP_CREATE'),
    transmitted: 5,
    received: 5,
  })
})

test('a killed process leaves no program behind', async () => {
  using veth = vethPair()
  const { output } = await run('killed.mjs', veth.a)
  expect(output).toBe('xdp\n')
  expect(programOn(veth.a)).toBe(undefined)
  expect(readFileSync('/proc/self/net/dev', 'latin1')).toContain(veth.a)
})
