/** Frame state that AF_XDP does not report, found in the frame's own headers. */
import { ethernet, FrameDoubt, ipv4, ipv6, PacketQueue, udp } from 'ibverbs/ethernet'
import { describe, expect, test } from 'vitest'
import { inspectFrame } from '../../dist/ethernet/inspect.js'
import * as checksum from '../../dist/headers/checksum.js'
import { vethPair } from '../beds/veth.js'
import { backends, receiveOne } from './traffic.js'

const mac = (last: number): Uint8Array => Uint8Array.of(2, 0, 0, 0, 0, last)

/** A datagram with that many bytes of payload and its checksum, and the offset of its UDP header. */
function datagram(version: 4 | 6, payload: number): { bytes: Uint8Array; at: number } {
  const header = version === 4 ? 20 : 40
  const bytes = new Uint8Array(14 + header + 8 + payload).map((_, i) => i * 7)
  ethernet.write(bytes, 0, mac(2), mac(1), version === 4 ? 0x0800 : 0x86dd)
  const at =
    version === 4
      ? ipv4.write(bytes, 14, 8 + payload, 17, 0x0a000001, 0x0a000002)
      : ipv6.write(bytes, 14, 8 + payload, 17, ipv6.parse('fd00::1'), ipv6.parse('fd00::2'))
  udp.write(bytes, at, 1000, 53, payload)
  const sum = checksum.finish(checksum.upperLayer(bytes, at, 14, bytes.length, 17))
  bytes.set([sum >> 8, sum & 255], at + 6)
  return { bytes, at }
}

const doubts = (bytes: Uint8Array, mtu = 1500): number => inspectFrame(bytes, 0, bytes.length, mtu)

describe.each([4, 6] as const)('IPv%i', (version) => {
  test('no fault, tagged or padded or not', () => {
    const { bytes } = datagram(version, 20)
    expect(doubts(bytes)).toBe(0)
    expect(doubts(Uint8Array.of(...bytes, 0, 0, 0))).toBe(0)
    expect(doubts(Uint8Array.of(...bytes.subarray(0, 12), 0x81, 0, 0, 5, ...bytes.subarray(12)))).toBe(0)
  })

  test('longer than the MTU, and truncated', () => {
    const { bytes } = datagram(version, 3000)
    expect(doubts(bytes)).toBe(FrameDoubt.superFrame)
    expect(doubts(bytes.subarray(0, 2048))).toBe(FrameDoubt.superFrame | FrameDoubt.cut)
    expect(doubts(bytes.subarray(0, 2048), 9000)).toBe(FrameDoubt.cut)
    expect(doubts(bytes, 9000)).toBe(0)
  })

  test('a checksum that is partial, or wrong', () => {
    const { bytes, at } = datagram(version, 21)
    const pseudo = checksum.pseudoHeader(bytes, 14, 17, 29)
    bytes.set([pseudo >> 8, pseudo & 255], at + 6)
    expect(doubts(bytes)).toBe(FrameDoubt.checksumPartial)
    bytes[at + 7] ^= 1
    expect(doubts(bytes)).toBe(FrameDoubt.checksumWrong)
  })
})

test('UDP over IPv4 without a checksum, fragments, other protocols and truncated headers give 0', () => {
  const { bytes, at } = datagram(4, 20)
  const without = bytes.slice()
  without.set([0, 0], at + 6)
  expect(doubts(without)).toBe(0)
  const other = bytes.slice()
  other.set([0x88, 0xb5], 12)
  expect(doubts(other)).toBe(0)
  for (let length = 0; length < 34; length++) expect(doubts(bytes.subarray(0, length))).toBe(0)
  const header = bytes.slice()
  header[14 + 8] ^= 1
  expect(doubts(header)).toBe(FrameDoubt.checksumWrong)
})

test.runIf(backends.includes('af_xdp'))(
  "AF_XDP: what a sender leaves to its device is seen by nobody but 'inspect'",
  async () => {
    using veth = vethPair()
    using a = PacketQueue.open(veth.a)
    using b = PacketQueue.open(veth.b, { backend: 'af_xdp', promiscuous: true, frameCount: 64 })
    const { bytes, at } = datagram(4, 30)
    for (const partial of [true, false]) {
      const slot = a.claim()
      const sent = bytes.slice()
      const pseudo = checksum.pseudoHeader(bytes, 14, 17, 38)
      if (partial) sent.set([pseudo >> 8, pseudo & 255], at + 6)
      a.memory.set(sent, a.offset(slot))
      if (partial) a.sendOffloaded(slot, sent.length, at, 6)
      else a.send(slot, sent.length)
      a.submit()
      const received = await receiveOne(b)
      expect(b.flags(received)).toBe(0)
      expect(b.inspect(received)).toBe(partial ? FrameDoubt.checksumPartial : 0)
      b.release(received)
    }
  },
)
