/** The Internet checksum against the published examples, and against a plain reference. */
import { checksum, IpProtocol, ipv4, ipv6, tcp, udp } from 'ibverbs/ethernet'
import { describe, expect, test } from 'vitest'
import { Random } from '../beds/random.js'

/** RFC 1071 literally, a word at a time. */
function plainSum(bytes: Uint8Array, initial = 0): number {
  let sum = initial
  for (let i = 0; i < bytes.length; i += 2) {
    sum += bytes[i] * 256 + (bytes[i + 1] ?? 0)
    if (sum > 0xffff) sum -= 0xffff
  }
  return sum
}

describe('RFC 1071', () => {
  const example = Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7)

  test('the example of section 3', () => {
    expect(checksum.sum(example, 0, 8)).toBe(0xddf2)
    expect(checksum.compute(example, 0, 8)).toBe(0x220d)
    expect(checksum.finish(0xddf2)).toBe(0x220d)
  })

  test('in parts, and with the checksum appended', () => {
    expect(checksum.sum(example, 4, 8, checksum.sum(example, 0, 4))).toBe(0xddf2)
    const whole = Uint8Array.of(...example, 0x22, 0x0d)
    expect(checksum.verify(whole, 0, 10)).toBe(true)
    whole[3] ^= 1
    expect(checksum.verify(whole, 0, 10)).toBe(false)
  })

  test('any length, anywhere, in arrays and views of them', () => {
    const random = new Random(1071)
    const bytes = random.bytes(9000)
    const view = new Uint8Array(bytes.buffer, 7, 5000)
    for (let i = 0; i < 400; i++) {
      const from = random.integer(0, 3000)
      const to = from + random.integer(0, i < 200 ? 100 : 2000)
      expect(checksum.sum(bytes, from, to)).toBe(plainSum(bytes.subarray(from, to)))
      expect(checksum.sum(view, from, to)).toBe(plainSum(view.subarray(from, to)))
    }
    expect(checksum.sum(new Uint8Array(65536).fill(0xff), 0, 65536)).toBe(0xffff)
    expect(checksum.sum(new Uint8Array(1500), 0, 1500)).toBe(0)
  })

  test('bytes beyond the array count as zero, and nothing throws', () => {
    const bytes = new Random(2).bytes(200)
    const all = plainSum(bytes)
    expect(checksum.sum(bytes, -10, 100_000)).toBe(all)
    expect(checksum.sum(bytes, 300, 400)).toBe(0)
    expect(checksum.sum(bytes, 100, 50)).toBe(0)
  })

  test('an array that grows with its buffer', () => {
    const buffer = new (ArrayBuffer as new (length: number, options: object) => ArrayBuffer)(100, {
      maxByteLength: 400,
    })
    const bytes = new Uint8Array(buffer)
    expect(checksum.sum(bytes, 0, 100)).toBe(0)
    const resizable = buffer as unknown as { resize(length: number): void }
    resizable.resize(400)
    bytes.fill(3)
    expect(checksum.sum(bytes, 0, 400)).toBe(plainSum(bytes))
    resizable.resize(80)
    expect(checksum.sum(bytes, 0, 400)).toBe(plainSum(bytes))
  })
})

describe('RFC 1624', () => {
  test('the example of section 4: the field goes from 0x5555 to 0x3285, the checksum from 0xdd2f to zero', () => {
    // Eqn. 2 of RFC 1141 would give 0xffff here.
    expect(checksum.update(0xdd2f, 0x5555, 0x3285)).toBe(0x0000)
  })

  test('a change of 16 or 32 bits: the same as a new computation', () => {
    const random = new Random(1624)
    for (let i = 0; i < 2000; i++) {
      const bytes = random.bytes(40)
      bytes[10] = bytes[11] = 0
      const before = checksum.compute(bytes, 0, 40)
      bytes[10] = before >>> 8
      bytes[11] = before
      if (i % 2)
        checksum.replaceU16(bytes, 10, 2 * random.integer(6, 19), random.pick([0, 0xffff, random.u16()]))
      else
        checksum.replaceU32(bytes, 10, 2 * random.integer(6, 18), random.pick([0, 0xffffffff, random.u32()]))
      expect(checksum.verify(bytes, 0, 40)).toBe(true)
      const updated = bytes[10] * 256 + bytes[11]
      bytes[10] = bytes[11] = 0
      expect(updated).toBe(checksum.compute(bytes, 0, 40))
    }
  })

  test('a change of an IPv6 address', () => {
    const random = new Random(8200)
    const bytes = random.bytes(300)
    const [source, destination, next] = [random.bytes(16), random.bytes(16), random.bytes(16)]
    const segment = ipv6.write(bytes, 0, 260, IpProtocol.tcp, source, destination)
    tcp.write(bytes, segment, 1, 2, 3, 4, tcp.Flag.ack)
    tcp.writeChecksum(bytes, segment, 0)
    const before = checksum.sum(bytes, ipv6.destinationOffset, 40)
    ipv6.setDestination(bytes, 0, next)
    expect(tcp.verifyChecksum(bytes, segment, 0)).toBe(false)
    const after = checksum.sum(bytes, ipv6.destinationOffset, 40)
    tcp.setChecksum(bytes, segment, checksum.updateSum(tcp.checksum(bytes, segment), before, after))
    expect(tcp.verifyChecksum(bytes, segment, 0)).toBe(true)
  })
})

describe('headers', () => {
  test("the IPv4 header of Wikipedia's article on it: 0xb861", () => {
    const bytes = Uint8Array.from(
      '45 00 00 73 00 00 40 00 40 11 00 00 c0 a8 00 01 c0 a8 00 c7'
        .split(' ')
        .map((byte) => Number.parseInt(byte, 16)),
    )
    ipv4.writeChecksum(bytes, 0)
    expect(ipv4.checksum(bytes, 0)).toBe(0xb861)
    expect(ipv4.verifyChecksum(bytes, 0)).toBe(true)
  })

  test('a router and a translator: time to live, addresses and ports change, both checksums stay right', () => {
    const random = new Random(3022)
    for (let i = 0; i < 300; i++) {
      const bytes = random.bytes(200)
      const protocol = random.pick([IpProtocol.udp, IpProtocol.tcp])
      const layer = protocol === IpProtocol.udp ? udp : tcp
      const at = ipv4.write(bytes, 0, 180, protocol, random.u32(), random.u32(), random.integer(2, 255))
      if (layer === udp) udp.write(bytes, at, random.u16(), random.u16(), 172)
      else tcp.write(bytes, at, random.u16(), random.u16(), random.u32(), random.u32(), tcp.Flag.ack)
      layer.writeChecksum(bytes, at, 0)

      const ttl = ipv4.ttl(bytes, 0)
      expect(ipv4.decrementTtl(bytes, 0)).toBe(true)
      expect(ipv4.ttl(bytes, 0)).toBe(ttl - 1)
      const address = random.u32()
      layer.updateChecksum(bytes, at, ipv4.source(bytes, 0), address)
      ipv4.replaceSource(bytes, 0, address)
      const other = random.u32()
      layer.updateChecksum(bytes, at, ipv4.destination(bytes, 0), other)
      ipv4.replaceDestination(bytes, 0, other)
      const port = random.u16()
      layer.updateChecksum(bytes, at, layer.sourcePort(bytes, at), port)
      layer.setSourcePort(bytes, at, port)

      expect([ipv4.source(bytes, 0), ipv4.destination(bytes, 0)]).toEqual([address, other])
      expect(ipv4.verifyChecksum(bytes, 0)).toBe(true)
      expect(layer.verifyChecksum(bytes, at, 0)).toBe(true)
    }
  })

  test('a time to live or hop limit of 1 or 0 is not decremented', () => {
    const bytes = new Uint8Array(40)
    for (const left of [0, 1]) {
      ipv4.write(bytes, 0, 0, 17, 1, 2, left)
      const before = bytes.slice()
      expect(ipv4.decrementTtl(bytes, 0)).toBe(false)
      expect(bytes).toEqual(before)
      ipv6.write(bytes, 0, 0, 17, new Uint8Array(16), new Uint8Array(16), left)
      expect(ipv6.decrementHopLimit(bytes, 0)).toBe(false)
      expect(ipv6.hopLimit(bytes, 0)).toBe(left)
    }
    ipv6.setHopLimit(bytes, 0, 2)
    expect(ipv6.decrementHopLimit(bytes, 0)).toBe(true)
    expect(ipv6.hopLimit(bytes, 0)).toBe(1)
  })
})

describe("UDP's zero", () => {
  /** A datagram of two bytes, over IPv4 or IPv6, whose checksum computes to zero. */
  function zero(six: boolean): { bytes: Uint8Array; at: number } {
    const bytes = new Uint8Array(80)
    const source = new Uint8Array(16).fill(1)
    const at = six
      ? ipv6.write(bytes, 0, 10, IpProtocol.udp, source, source)
      : ipv4.write(bytes, 0, 10, IpProtocol.udp, 0x0a000001, 0x0a000002)
    udp.write(bytes, at, 1000, 2000, 2)
    udp.writeChecksum(bytes, at, 0)
    // The difference to a sum of 0xffff goes into the data.
    const missing = udp.checksum(bytes, at)
    bytes[at + 8] = missing >>> 8
    bytes[at + 9] = missing
    return { bytes, at }
  }

  test.each([false, true])('a checksum of zero is sent as all ones (IPv6: %s)', (six) => {
    const { bytes, at } = zero(six)
    udp.writeChecksum(bytes, at, 0)
    expect(udp.checksum(bytes, at)).toBe(0xffff)
    expect(udp.verifyChecksum(bytes, at, 0)).toBe(true)
  })

  test.each([false, true])('an update whose result is zero gives all ones (IPv6: %s)', (six) => {
    const { bytes, at } = zero(six)
    udp.setSourcePort(bytes, at, 999)
    udp.writeChecksum(bytes, at, 0)
    expect(udp.checksum(bytes, at)).toBe(1)
    udp.updateChecksum(bytes, at, 999, 1000)
    udp.setSourcePort(bytes, at, 1000)
    expect(udp.checksum(bytes, at)).toBe(0xffff)
    expect(udp.verifyChecksum(bytes, at, 0)).toBe(true)
  })

  test('a missing checksum is right over IPv4 (RFC 768), wrong over IPv6 (RFC 8200, 8.1), and stays missing', () => {
    for (const six of [false, true]) {
      const { bytes, at } = zero(six)
      udp.setChecksum(bytes, at, 0)
      expect(udp.verifyChecksum(bytes, at, 0)).toBe(!six)
      udp.updateChecksum(bytes, at, 1, 2)
      expect(udp.checksum(bytes, at)).toBe(0)
    }
  })
})
