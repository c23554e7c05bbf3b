/** The kernel's own stack as the peer: it answers a ping built by hand, receives our datagrams, and sends its own. */
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  checksum,
  ethernet,
  FrameFlag,
  FrameReadable,
  icmp,
  ipv4,
  ipv6,
  PacketQueue,
  type PacketQueueOptions,
  queryInterface,
  type ReceivedFrame,
  tcp,
  udp,
} from 'ibverbs/ethernet'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { execute } from '../beds/child.js'
import { limit } from '../beds/limit.js'
import { Peer } from '../beds/peer.js'
import { parse } from '../capture/tools.js'
import { Running, start } from '../cli/run.js'
import { programPath } from './program.js'
import { backends, copy } from './traffic.js'

const near = { v4: '10.78.0.1', v6: 'fd78::1' }
const far = { v4: '10.78.0.2', v6: 'fd78::2' }
const ipTypes = { v4: 0x0800, v6: 0x86dd }
type Version = 'v4' | 'v6'

let peer: Peer
let farMac: Uint8Array

beforeAll(async () => {
  peer = await Peer.create({
    near: `${near.v4}/24`,
    far: `${far.v4}/24`,
    near6: `${near.v6}/64`,
    far6: `${far.v6}/64`,
  })
  farMac = ethernet.parse(peer.farMac)
  // Both ends have permanent neighbour entries: with AF_XDP nothing answers ARP at our end.
  const { mac } = queryInterface(peer.near)
  for (const address of [near.v4, near.v6]) {
    peer.run('ip', 'neigh', 'replace', address, 'lladdr', mac, 'nud', 'permanent', 'dev', peer.far)
  }
})

afterAll(() => peer[Symbol.asyncDispose]())

/** Writes Ethernet and IP headers from us to the kernel; returns the payload's offset. */
function headers(
  frame: Uint8Array,
  macs: [to: Uint8Array, from: Uint8Array],
  version: Version,
  protocol: number,
): number {
  const network = ethernet.write(frame, 0, ...macs, ipTypes[version])
  if (version === 'v4') {
    const length = frame.length - network - ipv4.minimumHeaderLength
    return ipv4.write(frame, network, length, protocol, ipv4.parse(near.v4), ipv4.parse(far.v4))
  }
  const length = frame.length - network - ipv6.headerLength
  return ipv6.write(frame, network, length, protocol, ipv6.parse(near.v6), ipv6.parse(far.v6))
}

const pattern = (length: number, seed: number) =>
  Uint8Array.from({ length }, (_, i) => (i * 13 + seed) & 0xff)
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

function send(queue: PacketQueue, frame: Uint8Array): void {
  const slot = queue.claim()
  queue.memory.set(frame, queue.offset(slot))
  queue.send(slot, frame.length)
  expect(queue.submit()).toBe(1)
}

async function receive(queue: PacketQueue, count: number) {
  const got: { bytes: Uint8Array; partial: boolean }[] = []
  const signal = AbortSignal.timeout(limit)
  while (got.length < count) {
    await queue.wait({ signal })
    const n = queue.receive()
    for (let i = 0; i < n; i++) {
      const slot = queue.slot(i)
      got.push({ bytes: copy(queue, slot), partial: (queue.flags(slot) & FrameFlag.checksumPartial) !== 0 })
      queue.release(slot)
    }
  }
  return got
}

describe.each(backends)('%s', (backend) => {
  const open = (options?: PacketQueueOptions) => PacketQueue.open(peer.near, { backend, ...options })

  describe.each(['v4', 'v6'] as const)('IP%s', (version) => {
    const echo =
      version === 'v4' ? { protocol: 1, request: 8, reply: 0 } : { protocol: 58, request: 128, reply: 129 }
    const ipLength = version === 'v4' ? 20 : 40

    test.each([0, 1, 56, 1452])(
      'the kernel answers a ping of %i bytes that was written by hand',
      async (size) => {
        // Our end's kernel answers too, if it still gets the frame: only frames from the peer count.
        const back: PacketQueueOptions['flows'] = [
          {
            protocol: echo.protocol,
            source: far[version],
            bytes: [{ from: 'transport', offset: 0, value: Uint8Array.of(echo.reply) }],
          },
        ]
        using queue = open({ flows: back })
        const frame = new Uint8Array(14 + ipLength + 8 + size)
        const at = headers(frame, [farMac, queue.interface.macBytes], version, echo.protocol)
        const data = icmp.writeEcho(frame, at, echo.request, 0x1234, size)
        frame.set(pattern(size, 3), data)
        icmp.writeChecksum(frame, at, 14)
        send(queue, frame)
        const [{ bytes }] = await receive(queue, 1)
        // The expected answer: the addresses exchanged, a reply's type, both checksums right.
        const expected = Uint8Array.from(frame)
        ethernet.swapAddresses(expected, 0)
        if (version === 'v4') {
          const id = ipv4.identification(bytes, 14)
          ipv4.write(
            expected,
            14,
            8 + size,
            1,
            ipv4.parse(far.v4),
            ipv4.parse(near.v4),
            64,
            id,
            ipv4.flags(bytes, 14),
          )
        } else {
          const label = ipv6.flowLabel(bytes, 14)
          ipv6.write(expected, 14, 8 + size, 58, ipv6.parse(far.v6), ipv6.parse(near.v6), 64, 0, label)
        }
        icmp.setType(expected, at, echo.reply)
        icmp.writeChecksum(expected, at, 14)
        expect(hex(bytes)).toBe(hex(expected))
      },
    )

    test('the kernel delivers our datagrams to a socket', async () => {
      const port = 5300
      const sink = new Running(...inside('udp-sink.mjs', far[version], String(port)), { open: true })
      await sink.until(/ready/)
      using queue = open({ transmitOnly: true })
      const sizes = [0, 1, 2, 17, 500, 1452]
      for (const size of sizes) {
        const frame = new Uint8Array(14 + ipLength + 8 + size)
        const at = headers(frame, [farMac, queue.interface.macBytes], version, 17)
        frame.set(pattern(size, 5), udp.write(frame, at, 40_000 + size, port, size))
        udp.writeChecksum(frame, at, 14)
        send(queue, frame)
      }
      await sink.until(new RegExp(`(\\d+ [\\da-f]*\\n.*){${sizes.length}}`))
      sink.child.stdin?.end()
      const { stdout } = await sink.finished
      expect(stdout.trimEnd().split('\n').slice(1)).toEqual(
        sizes.map((size) => `${near[version]} ${40_000 + size} ${hex(pattern(size, 5))}`),
      )
    })

    test('a datagram whose checksum is wrong does not get through', async () => {
      const sink = new Running(...inside('udp-sink.mjs', far[version], '5301'), { open: true })
      await sink.until(/ready/)
      using queue = open({ transmitOnly: true })
      for (const [seed, wrong] of [
        [1, true],
        [2, false],
      ] as const) {
        const frame = new Uint8Array(14 + ipLength + 8 + 40)
        const at = headers(frame, [farMac, queue.interface.macBytes], version, 17)
        frame.set(pattern(40, seed), udp.write(frame, at, 40_000, 5301, 40))
        udp.writeChecksum(frame, at, 14)
        if (wrong) udp.setChecksum(frame, at, udp.checksum(frame, at) ^ 0x0101)
        send(queue, frame)
      }
      await sink.until(/40000/)
      sink.child.stdin?.end()
      expect((await sink.finished).stdout).toBe(`ready\n${near[version]} 40000 ${hex(pattern(40, 2))}\n`)
    })

    test('we receive what a socket sends, every byte', async () => {
      const sizes = [1, 2, 17, 500, 1452]
      using queue = open({ flows: [{ protocol: 'udp', sourcePort: 5302, destinationPort: 5303 }] })
      const data = sizes.map((size) => hex(pattern(size, 9)))
      const [command, args] = inside('udp-source.mjs', '5302', near[version], '5303', ...data)
      const sending = execute(command, args)
      const got = await receive(queue, sizes.length)
      await sending
      for (const [i, size] of sizes.entries()) {
        const { bytes, partial } = got[i]
        const expected = new Uint8Array(14 + ipLength + 8 + size)
        ethernet.write(expected, 0, queue.interface.macBytes, farMac, ipTypes[version])
        const at = 14 + ipLength
        if (version === 'v4') {
          const id = ipv4.identification(bytes, 14)
          ipv4.write(expected, 14, 8 + size, 17, ipv4.parse(far.v4), ipv4.parse(near.v4), 64, id)
        } else {
          const label = ipv6.flowLabel(bytes, 14)
          ipv6.write(expected, 14, 8 + size, 17, ipv6.parse(far.v6), ipv6.parse(near.v6), 64, 0, label)
        }
        expected.set(pattern(size, 9), udp.write(expected, at, 5302, 5303, size))
        udp.writeChecksum(expected, at, 14)
        // A veth has no device that would complete the checksum: it stays the pseudo-header's sum (raw.md). AF_PACKET
        // flags such a frame; AF_XDP has no flag for it.
        const sum = checksum.pseudoHeader(expected, 14, 17, 8 + size)
        if (partial || (backend === 'af_xdp' && udp.checksum(bytes, at) === sum)) {
          expect(udp.checksum(bytes, at)).toBe(sum)
          udp.writeChecksum(bytes, at, 14)
        }
        expect(hex(bytes)).toBe(hex(expected))
      }
    })
  })
})

/** One of programs/ in the peer's namespace. */
function inside(program: string, ...words: string[]): [command: string, args: string[]] {
  const [command, ...args] = peer.inside(process.execPath, programPath(program), ...words)
  return [command, args]
}

test('FrameReadable completes the checksums that the kernel left to a device', async () => {
  using queue = PacketQueue.open(peer.near, { flows: [{ protocol: 'udp', sourcePort: 5304 }] })
  for (const [completeChecksums, right] of [
    [true, true],
    [false, false],
  ]) {
    const stream = new FrameReadable(queue, { completeChecksums })
    const [command, args] = inside('udp-source.mjs', '5304', near.v4, '5305', 'c0ffee')
    const sending = execute(command, args)
    for await (const { data, flags } of stream as AsyncIterable<ReceivedFrame>) {
      expect(flags & FrameFlag.checksumPartial).toBe(right ? 0 : FrameFlag.checksumPartial)
      expect(udp.verifyChecksum(data, 34, 14)).toBe(right)
      break
    }
    await sending
  }
})

describe('a TCP connection of the kernel’s, in super-frames', () => {
  const bytes = 20_000_000
  const hash = (output: string) => output.trim().split('\n').at(-1)

  test('dump keeps every byte of it', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'ibverbs-tcp-'))
    try {
      const file = join(folder, 'tcp.pcapng')
      const dumping = start(['dump', peer.near, '-w', file, 'tcp', 'port', '5310'])
      await dumping.until(/^listening on/m)
      const receiving = new Running(...inside('tcp.mjs', 'receive', '5310'))
      await receiving.until(/ready/)
      const words = [programPath('tcp.mjs'), 'send', far.v4, '5310', String(bytes)]
      const { stdout } = await execute(process.execPath, words)
      expect(hash((await receiving.finished).stdout)).toBe(hash(stdout))
      dumping.child.kill('SIGINT')
      const { stderr } = await dumping.finished
      expect(stderr).toContain(', 0 dropped by kernel\n')
      const frames = parse(readFileSync(file)).map(({ frame }) => frame)
      expect(frames.every(({ data, originalLength }) => data.length === originalLength)).toBe(true)
      // Far longer than the MTU: frames that the kernel has not segmented yet.
      expect(Math.max(...frames.map(({ originalLength }) => originalLength))).toBeGreaterThan(20_000)
      // The data of one direction, reassembled by sequence number, equal the data sent.
      const stream = Buffer.alloc(bytes)
      let first = -1
      for (const { data } of frames) {
        const at = 14 + ipv4.headerLength(data, 14)
        if (tcp.destinationPort(data, at) !== 5310) continue
        if (tcp.flags(data, at) & tcp.Flag.syn) first = tcp.sequence(data, at) + 1
        const payload = data.subarray(at + tcp.headerLength(data, at), ipv4.packetEnd(data, 14))
        stream.set(payload, payload.length > 0 ? (tcp.sequence(data, at) - first) >>> 0 : 0)
      }
      expect(createHash('sha256').update(stream).digest('hex')).toBe(hash(stdout))
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  test('passes through forward, between two stacks', async () => {
    await using other = await Peer.create({ far: '10.78.1.2/24' })
    await using third = await Peer.create({ far: '10.78.1.3/24' })
    const forwarding = start(['forward', other.near, third.near, '--transparent', '--json'])
    await forwarding.until(/^forwarding between/m)
    const at = (where: Peer, ...words: string[]) =>
      where.inside(process.execPath, programPath('tcp.mjs'), ...words)
    const [command, ...args] = at(third, 'receive', '5311')
    const receiving = new Running(command, args)
    await receiving.until(/ready/)
    const [sendCommand, ...sendArgs] = at(other, 'send', '10.78.1.3', '5311', String(bytes))
    const { stdout } = await execute(sendCommand, sendArgs)
    expect(hash((await receiving.finished).stdout)).toBe(hash(stdout))
    forwarding.child.kill('SIGINT')
    const { directions } = JSON.parse((await forwarding.finished).stdout)
    expect(directions[0].bytes).toBeGreaterThan(bytes)
    for (const { cut, sent } of directions)
      expect({ cut, refused: sent.refused }).toEqual({ cut: 0, refused: 0 })
  })
})
