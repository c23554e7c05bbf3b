/** Frames that are cut off, or have false lengths: nothing beyond them is read, nothing throws. */
import {
  arp,
  EtherType,
  ethernet,
  gre,
  IpProtocol,
  icmp,
  ipv4,
  ipv6,
  tcp,
  udp,
  vlan,
  vxlan,
} from 'ibverbs/ethernet'
import { expect, test } from 'vitest'
import { Random } from '../beds/random.js'

const macs = { destinationMac: '02:00:00:00:00:02', sourceMac: '02:00:00:00:00:01' }

/** Inspects a frame as a user's program does: validates each header, then reads it. Returns the headers found. */
function inspect(bytes: Uint8Array, at: number, end: number, found: string[] = [], depth = 0): string[] {
  const payload = vlan.payload(bytes, at, end)
  vxlan.flowPort(bytes, at, end)
  if (payload < 0) return found
  found.push('ethernet')
  ethernet.etherType(bytes, at)
  const type = vlan.payloadType(bytes, payload)
  if (type === EtherType.arp && arp.isValid(bytes, payload, end)) {
    arp.targetIp(bytes, payload)
    found.push('arp')
  }
  const isFour = type === EtherType.ipv4 && ipv4.isValid(bytes, payload, end)
  const isSix = type === EtherType.ipv6 && ipv6.isValid(bytes, payload, end)
  if (!isFour && !isSix) return found
  found.push(isFour ? 'ipv4' : 'ipv6')
  if (isFour) ipv4.verifyChecksum(bytes, payload)
  const ip = isFour ? ipv4 : ipv6
  const upper = ip.payload(bytes, payload)
  const packetEnd = ip.packetEnd(bytes, payload)
  const protocol = ip.protocol(bytes, payload)
  ip.isFragment(bytes, payload)
  if (upper < 0) return found
  if (protocol === IpProtocol.udp && udp.isValid(bytes, upper, packetEnd)) {
    found.push('udp')
    udp.verifyChecksum(bytes, upper, payload)
  } else if (protocol === IpProtocol.tcp && tcp.isValid(bytes, upper, packetEnd)) {
    found.push('tcp')
    tcp.verifyChecksum(bytes, upper, payload)
    for (const kind of [1, 2, 3, 8, 254]) tcp.option(bytes, upper, kind)
  } else if (protocol === IpProtocol.icmp || protocol === IpProtocol.icmp6) {
    if (icmp.isValid(bytes, upper, packetEnd)) {
      found.push('icmp')
      icmp.verifyChecksum(bytes, upper, payload)
    }
  }
  const inVxlan = vxlan.pop(bytes, at, end)
  if (inVxlan >= 0) {
    const header = vxlan.find(bytes, at, end)
    found.push('vxlan')
    if (depth < 3) inspect(bytes, inVxlan, vxlan.payloadEnd(bytes, header), found, depth + 1)
  }
  const header = gre.find(bytes, at, end)
  if (header >= 0) {
    found.push('gre')
    gre.verifyChecksum(bytes, header, gre.payloadEnd(bytes, at, end))
    gre.key(bytes, header)
    gre.sequence(bytes, header)
    const inside = gre.pop(bytes, at, end)
    if (depth < 3) inspect(bytes, inside, gre.payloadEnd(bytes, at, end), found, depth + 1)
  }
  return found
}

/** Offset of the frames in their array. */
const at = 300

function sample(random: Random): { bytes: Uint8Array; at: number; end: number } {
  const bytes = random.bytes(800)
  const isSix = random.u8() > 127
  const kind = random.integer(0, 3)
  const length = random.integer(24, 60)
  if (kind === 3) {
    const packet = ethernet.write(bytes, at, random.mac(), random.mac(), EtherType.arp)
    const end = arp.write(bytes, packet, 1, random.mac(), random.u32(), random.mac(), random.u32())
    return { bytes, at, end }
  }
  const extensions = isSix && random.u8() > 100 ? 24 : 0
  const protocol = [IpProtocol.udp, IpProtocol.tcp, isSix ? IpProtocol.icmp6 : IpProtocol.icmp][kind]
  const packet = ethernet.write(
    bytes,
    at,
    random.mac(),
    random.mac(),
    isSix ? EtherType.ipv6 : EtherType.ipv4,
  )
  let upper = isSix
    ? ipv6.write(
        bytes,
        packet,
        extensions + length,
        extensions ? 0 : protocol,
        random.bytes(16),
        random.bytes(16),
      )
    : ipv4.write(bytes, packet, length, protocol, random.u32(), random.u32())
  if (extensions) {
    bytes.set([IpProtocol.fragment, 0, 1, 4, 0, 0, 0, 0], upper)
    bytes.set([IpProtocol.authentication, 0, 0, 0, 0, 0, 0, 0], upper + 8)
    bytes.set([protocol, 0, 0, 0, 0, 0, 0, 0], upper + 16)
    upper += 24
  }
  if (kind === 0) udp.write(bytes, upper, random.u16(), random.u16(), length - 8)
  else if (kind === 1) {
    const options = tcp.write(bytes, upper, 1, 2, 3, 4, tcp.Flag.syn)
    bytes.set([2, 4, 5, 180], options)
    tcp.setHeaderLength(bytes, upper, 24)
  } else icmp.write(bytes, upper, 8, 0)
  let start = at
  const end = upper + length
  for (let wraps = random.integer(0, 2); wraps > 0; wraps--) {
    const ends = random.pick([
      { source: '10.0.0.1', destination: '10.0.0.2' },
      { source: '2001:db8::1', destination: '2001:db8::2' },
    ])
    start = random.pick([
      () => vlan.push(bytes, start, 0, random.u16()),
      () =>
        gre.push(
          bytes,
          start,
          end,
          0,
          gre.outer({ ...macs, ...ends, key: 1, sequence: true, checksum: true }),
        ),
      () => vxlan.push(bytes, start, end, 0, vxlan.outer({ ...macs, ...ends, networkIdentifier: 1 })),
    ])()
  }
  return { bytes, at: start, end }
}

/** The same array, and the lowest and highest index read from it. */
function watched(bytes: Uint8Array): { proxy: Uint8Array; range: { low: number; high: number } } {
  const range = { low: Number.POSITIVE_INFINITY, high: Number.NEGATIVE_INFINITY }
  const proxy = new Proxy(bytes, {
    get(target, key) {
      const index = typeof key === 'string' ? Number(key) : Number.NaN
      if (!Number.isNaN(index)) {
        range.low = Math.min(range.low, index)
        range.high = Math.max(range.high, index)
      }
      return Reflect.get(target, key, target)
    },
  })
  return { proxy, range }
}

test('whole frames are read correctly', () => {
  const random = new Random(1)
  const seen = new Set<string>()
  for (let i = 0; i < 200; i++) {
    const { bytes, at, end } = sample(random)
    for (const header of inspect(bytes, at, end)) seen.add(header)
  }
  expect([...seen].sort()).toEqual(['arp', 'ethernet', 'gre', 'icmp', 'ipv4', 'ipv6', 'tcp', 'udp', 'vxlan'])
})

test('cut off at every length: nothing outside is read', () => {
  const random = new Random(2)
  for (let i = 0; i < 60; i++) {
    const { bytes, at, end } = sample(random)
    for (let cut = at; cut <= end; cut++) {
      const { proxy, range } = watched(bytes)
      inspect(proxy, at, cut)
      if (range.low < at || range.high >= cut) {
        expect.fail(`frame ${i}, cut to ${cut - at}: read ${range.low - at} to ${range.high - at}`)
      }
    }
  }
})

test('random changes: nothing outside is read, nothing throws', () => {
  const random = new Random(3)
  for (let i = 0; i < 4000; i++) {
    const { bytes, at, end } = sample(random)
    for (let changes = random.integer(1, 6); changes > 0; changes--) {
      bytes[random.integer(at, Math.min(end - 1, at + 130))] = random.pick([0, 1, 4, 0xff, random.u8()])
    }
    const { proxy, range } = watched(bytes)
    inspect(proxy, at, end)
    if (range.low < at || range.high >= end) {
      expect.fail(`frame ${i}: read ${range.low - at} to ${range.high - at} of ${end - at}`)
    }
  }
})

test('an end beyond the array, a beginning before it, and arguments that are no numbers', () => {
  const bytes = new Random(4).bytes(100)
  for (const [from, to] of [
    [0, 101],
    [-1, 100],
    [90, 80],
    [Number.NaN, 100],
    [0, Number.NaN],
    [100, 100],
  ]) {
    for (const { isValid } of [ethernet, vlan, arp, ipv4, ipv6, udp, tcp, icmp, vxlan, gre]) {
      expect(isValid(bytes, from, to)).toBe(false)
    }
    expect([vlan.payload(bytes, from, to), vxlan.pop(bytes, from, to), gre.pop(bytes, from, to)]).toEqual([
      -1, -1, -1,
    ])
  }
})

test.each([
  ['version', (b: Uint8Array) => b.fill(0x55, 0, 1)],
  ['a header shorter than 20 bytes', (b: Uint8Array) => b.fill(0x44, 0, 1)],
  ['options beyond the total length', (b: Uint8Array) => b.fill(0x4f, 0, 1)],
  ['a total length below the header', (b: Uint8Array) => ipv4.setTotalLength(b, 0, 19)],
  ['a total length beyond the frame', (b: Uint8Array) => ipv4.setTotalLength(b, 0, 41)],
  ['a total length of zero', (b: Uint8Array) => ipv4.setTotalLength(b, 0, 0)],
])('IPv4 is not valid: %s', (_name, spoil) => {
  const bytes = new Uint8Array(60)
  ipv4.write(bytes, 0, 20, IpProtocol.udp, 1, 2)
  expect(ipv4.isValid(bytes, 0, 40)).toBe(true)
  spoil(bytes)
  expect(ipv4.isValid(bytes, 0, 40)).toBe(false)
})

test('TCP options with false lengths', () => {
  const bytes = new Uint8Array(80)
  const options = tcp.write(bytes, 0, 1, 2, 3, 4, 0)
  tcp.setHeaderLength(bytes, 0, 28)
  const find = (...list: number[]) => {
    bytes.fill(0xaa, options)
    bytes.set(list, options)
    return [tcp.option(bytes, 0, 2), tcp.option(bytes, 0, 3)]
  }
  expect(find(2, 4, 5, 180, 3, 3, 7, 0)).toEqual([20, 24])
  expect(find(3, 0, 2, 4, 5, 180, 0, 0)).toEqual([-1, -1])
  expect(find(9, 1, 2, 4, 5, 180, 0, 0)).toEqual([-1, -1])
  expect(find(1, 1, 1, 1, 1, 2, 4, 5)).toEqual([-1, -1])
  expect(find(1, 1, 1, 1, 1, 1, 1, 2)).toEqual([-1, -1])
  expect(find(0, 2, 4, 5, 180, 3, 3, 7)).toEqual([-1, -1])
})

test('detached memory is empty: nothing throws', () => {
  const bytes = new Random(6).bytes(200)
  const end = ipv4.write(bytes, 0, 180, IpProtocol.udp, 1, 2)
  udp.write(bytes, end, 1, 2, 172)
  udp.writeChecksum(bytes, end, 0)
  structuredClone(bytes.buffer, { transfer: [bytes.buffer as ArrayBuffer] })
  expect(ipv4.isValid(bytes, 0, 200)).toBe(false)
  expect(udp.verifyChecksum(bytes, end, 0)).toBe(false)
  udp.writeChecksum(bytes, end, 0)
  expect(bytes.length).toBe(0)
})
