/** Encapsulates frames in VXLAN and GRE and back, and checks tshark's reading of them. */
import { EtherType, ethernet, gre, IpProtocol, ipv4, ipv6, udp, vlan, vxlan } from 'ibverbs/ethernet'
import { describe, expect, test } from 'vitest'
import { Random } from '../beds/random.js'
import { dissect } from './tshark.js'

const macs = { destinationMac: '02:00:00:00:00:02', sourceMac: '02:00:00:00:00:01' }
const four = { ...macs, source: '10.1.0.1', destination: '10.1.0.2', ttl: 9, trafficClass: 0x2e }
const six = {
  ...macs,
  source: '2001:db8::1',
  destination: '2001:db8::2',
  ttl: 9,
  trafficClass: 0x2e,
  flowLabel: 77,
}
const at = 101

/** A UDP datagram in a frame at {@link at}; returns where it ends. */
function inner(random: Random, bytes: Uint8Array): number {
  const length = random.integer(18, 1400)
  const packet = ethernet.write(bytes, at, random.mac(), random.mac(), EtherType.ipv4)
  const datagram = ipv4.write(
    bytes,
    packet,
    8 + length,
    IpProtocol.udp,
    0xc0a80001,
    0xc0a80000 + random.integer(2, 200),
  )
  const end = udp.write(bytes, datagram, 62000, random.integer(62001, 64000), length) + length
  udp.writeChecksum(bytes, datagram, packet)
  return end
}

describe('VXLAN', () => {
  test.each([
    ['IPv4', four, vxlan.overheadIpv4, undefined],
    ['IPv4 with a UDP checksum', four, vxlan.overheadIpv4, true],
    ['IPv6', six, vxlan.overheadIpv6, undefined],
    ['IPv6 without a UDP checksum', six, vxlan.overheadIpv6, false],
  ])('over %s', (_name, options, overhead, udpChecksum) => {
    const random = new Random(7348)
    const isFour = overhead === vxlan.overheadIpv4
    const frames: Uint8Array[] = []
    const expected: object[] = []
    for (let i = 0; i < 25; i++) {
      const networkIdentifier = random.integer(0, 0xffffff)
      const outer = vxlan.outer({ ...options, networkIdentifier, udpChecksum })
      const bytes = random.bytes(1700)
      const end = inner(random, bytes)
      const before = bytes.slice()
      const port = vxlan.flowPort(bytes, at, end)
      const to = vxlan.push(bytes, at, end, at - overhead, outer, port)
      expect(to).toBe(at - overhead)
      expect(bytes.slice(at)).toEqual(before.slice(at))
      expect(bytes.slice(0, to)).toEqual(before.slice(0, to))

      const header = vxlan.find(bytes, to, end)
      expect(header).toBe(at - 8)
      expect(vxlan.isValid(bytes, header, end)).toBe(true)
      expect(vxlan.flags(bytes, header)).toBe(vxlan.Flag.networkIdentifier)
      expect(vxlan.networkIdentifier(bytes, header)).toBe(networkIdentifier)
      expect([vxlan.payload(bytes, header), vxlan.payloadEnd(bytes, header)]).toEqual([at, end])
      expect(vxlan.pop(bytes, to, end)).toBe(at)
      expect(vxlan.pop(bytes, to, end, 4790)).toBe(-1)
      frames.push(bytes.slice(to, end))
      const wanted = udpChecksum ?? !isFour
      const length = end - at + 16
      expected.push({
        'ip.len': isFour ? `${20 + length},${end - at - 14}` : `${end - at - 14}`,
        'ip.dsfield.dscp': isFour ? '11,0' : '0',
        'ip.ttl': isFour ? '9,64' : '64',
        'ip.checksum.status': isFour ? '1,1' : '1',
        'ipv6.plen': isFour ? '' : String(length),
        'ipv6.hlim': isFour ? '' : '9',
        'ipv6.tclass.dscp': isFour ? '' : '11',
        'ipv6.flow': isFour ? '' : '0x00004d',
        'udp.srcport': `${port},62000`,
        'udp.length': `${length},${end - at - 34}`,
        // 1: good; 3: none; 4: none where one is required
        'udp.checksum.status': `${wanted ? 1 : isFour ? 3 : 4},1`,
        'vxlan.flags': '0x0800',
        'vxlan.vni': String(networkIdentifier),
        'eth.dst': `${macs.destinationMac},${ethernet.format(bytes, at)}`,
        'eth.src': `${macs.sourceMac},${ethernet.format(bytes, at + 6)}`,
      })
    }
    expect(dissect(frames, Object.keys(expected[0]))).toEqual(expected)
  })

  test('behind two tags', () => {
    const bytes = new Uint8Array(1700)
    const end = inner(new Random(1), bytes)
    const outer = vxlan.outer({ ...four, networkIdentifier: 5, port: 8472, sourcePort: 7 })
    let to = vxlan.push(bytes, at, end, 0, outer)
    expect(udp.sourcePort(bytes, at - 16)).toBe(7)
    to = vlan.push(bytes, vlan.push(bytes, to, 0, 1), 0, 2, EtherType.serviceVlan)
    expect(vxlan.pop(bytes, to, end, 8472)).toBe(at)
  })

  test('frames of one flow have the same port, other flows mostly another, all in the dynamic range', () => {
    const random = new Random(6335)
    const ports = new Set<number>()
    for (let i = 0; i < 500; i++) {
      const bytes = random.bytes(1700)
      const end = inner(random, bytes)
      const port = vxlan.flowPort(bytes, at, end)
      bytes[end - 1] ^= 255
      expect(vxlan.flowPort(bytes, at, end)).toBe(port)
      ports.add(port)
    }
    expect(ports.size).toBeGreaterThan(450)
    expect([...ports].every((port) => port >= 49152 && port <= 65535)).toBe(true)
    expect(vxlan.flowPort(new Uint8Array(10), 0, 10)).toBe(49152)
  })

  test.each([
    [
      { networkIdentifier: 2 ** 24 },
      '"options.networkIdentifier" must be an integer from 0 to 16777215, not 16777216',
    ],
    [
      { destination: '2001:db8::1' },
      '"options.destination" must be an address of the version of 10.1.0.1, not',
    ],
    [
      { source: 'x', destination: 'y' },
      '"options.source" must be an IPv4 or IPv6 address without a zone, not',
    ],
    [{ destination: 'y' }, '"options.destination" must be an address of the version of 10.1.0.1, not'],
    [{ port: 0 }, '"options.port" must be an integer from 1 to 65535, not 0'],
    [{ ttl: 256 }, '"options.ttl" must be an integer from 1 to 255, not 256'],
    [{ destinationMac: 'x' }, '"options.destinationMac" must be an Ethernet address'],
  ])('refused: %j', (wrong, message) => {
    expect(() => vxlan.outer({ ...four, networkIdentifier: 1, ...wrong })).toThrow(message)
  })
})

describe('GRE', () => {
  test.each([
    ['IPv4', four, 24],
    ['IPv6', six, 44],
  ])('over %s, frames and packets, with all options', (_name, options, overhead) => {
    const random = new Random(2890)
    const isFour = overhead === 24
    const frames: Uint8Array[] = []
    const expected: object[] = []
    for (let i = 0; i < 32; i++) {
      const [key, sequence] = [i & 1 ? random.u32() : undefined, random.u32()]
      const [hasSequence, checksum, packet] = [(i & 2) > 0, (i & 4) > 0, (i & 8) > 0]
      const protocol = packet ? EtherType.ipv4 : EtherType.transparentBridging
      const outer = gre.outer({ ...options, key, sequence: hasSequence, checksum, protocol })
      const bytes = random.bytes(1700)
      const end = inner(random, bytes)
      const from = packet ? at + 14 : at
      const before = bytes.slice()
      const length = 14 + overhead + 4 * [key !== undefined, hasSequence, checksum].filter(Boolean).length
      expect(outer.length).toBe(length)
      const to = gre.push(bytes, from, end, from - length, outer, sequence)
      expect(to).toBe(from - length)
      expect(bytes.slice(from)).toEqual(before.slice(from))
      expect(bytes.slice(0, to)).toEqual(before.slice(0, to))

      const header = gre.find(bytes, to, end)
      expect(header).toBe(to + 14 + (isFour ? 20 : 40))
      expect(gre.isValid(bytes, header, end)).toBe(true)
      expect(gre.verifyChecksum(bytes, header, end)).toBe(true)
      expect(gre.protocol(bytes, header)).toBe(protocol)
      expect(gre.key(bytes, header)).toBe(key ?? 0)
      expect(gre.sequence(bytes, header)).toBe(hasSequence ? sequence : 0)
      expect([gre.pop(bytes, to, end), gre.payloadEnd(bytes, to, end)]).toEqual([from, end])
      frames.push(bytes.slice(to, end))
      expected.push({
        'ip.len': isFour ? `${end - to - 14},${end - at - 14}` : `${end - at - 14}`,
        'ip.proto': isFour ? '47,17' : '17',
        'ip.checksum.status': isFour ? '1,1' : '1',
        'ipv6.plen': isFour ? '' : String(end - to - 54),
        'gre.proto': `0x${protocol.toString(16).padStart(4, '0')}`,
        'gre.flags.key': key === undefined ? '0' : '1',
        'gre.flags.sequence_number': hasSequence ? '1' : '0',
        'gre.flags.checksum': checksum ? '1' : '0',
        'gre.flags.version': '0',
        'gre.key': key === undefined ? '' : `0x${key.toString(16).padStart(8, '0')}`,
        'gre.sequence_number': hasSequence ? String(sequence) : '',
        'gre.checksum.status': checksum ? '1' : '',
        'udp.checksum.status': '1',
      })
    }
    expect(dissect(frames, Object.keys(expected[0]))).toEqual(expected)
  })

  test('a packet that a receiver must drop is not valid GRE: routing, reserved bits, another version (RFC 2784, 2.3)', () => {
    const bytes = new Uint8Array(1700)
    const end = inner(new Random(1), bytes)
    const to = gre.push(bytes, at, end, 0, gre.outer(four))
    const header = gre.find(bytes, to, end)
    for (const [byte, bit] of [
      [0, 0x40],
      [0, 0x08],
      [0, 0x04],
      [1, 0x01],
    ]) {
      bytes[header + byte] |= bit
      expect(gre.find(bytes, to, end)).toBe(-1)
      bytes[header + byte] &= ~bit
    }
    expect(gre.find(bytes, to, end)).toBe(header)
    // A fragment has only a part of the payload.
    ipv4.setFlags(bytes, to + 14, ipv4.Flag.moreFragments)
    expect(gre.pop(bytes, to, end)).toBe(-1)
  })

  test('padding behind the outer packet does not belong to the payload', () => {
    const bytes = new Uint8Array(1700)
    const end = inner(new Random(1), bytes)
    const to = gre.push(bytes, at, end, 0, gre.outer(four))
    expect(gre.payloadEnd(bytes, to, end + 9)).toBe(end)
  })
})

test.each([
  ['VXLAN', vxlan.outer({ ...four, networkIdentifier: 1 }), vxlan.push],
  ['VXLAN over IPv6', vxlan.outer({ ...six, networkIdentifier: 1 }), vxlan.push],
  ['GRE', gre.outer(four), gre.push],
])('%s: no headroom, or too long: −1, and not a byte changed', (_name, outer, push) => {
  const bytes = new Random(3).bytes(70_000)
  const before = bytes.slice()
  const room = outer.length
  expect(push(bytes, room - 1, 300, 0, outer)).toBe(-1)
  expect(push(bytes, room - 1, 300, -5, outer)).toBe(-1)
  expect(push(bytes, 200, 300, 200 - room + 1, outer)).toBe(-1)
  expect(push(bytes, 200, 199, 0, outer)).toBe(-1)
  expect(push(bytes, 200, 70_001, 0, outer)).toBe(-1)
  expect(push(bytes, 200, 200 + 65536 - room + 14, 0, outer)).toBe(-1)
  expect(push(bytes, Number.NaN, 300, 0, outer)).toBe(-1)
  expect(bytes).toEqual(before)
  expect(push(bytes, 200, 200 + 65535 - room + 14, 200 - room, outer)).toBe(200 - room)
})

test('an IPv6 fragment is distinguished from an atomic one', () => {
  const bytes = new Uint8Array(200)
  const extension = ipv6.write(bytes, 0, 100, IpProtocol.fragment, new Uint8Array(16), new Uint8Array(16))
  bytes[extension] = IpProtocol.udp
  expect([ipv6.payload(bytes, 0), ipv6.protocol(bytes, 0), ipv6.isFragment(bytes, 0)]).toEqual([
    48,
    17,
    false,
  ])
  bytes[extension + 3] = 1
  expect([ipv6.payload(bytes, 0), ipv6.protocol(bytes, 0), ipv6.isFragment(bytes, 0)]).toEqual([48, 17, true])
  bytes[extension + 3] = 8
  expect([ipv6.payload(bytes, 0), ipv6.protocol(bytes, 0), ipv6.isFragment(bytes, 0)]).toEqual([-1, 44, true])
})
