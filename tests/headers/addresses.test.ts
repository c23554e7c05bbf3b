/** Addresses as text, both ways. */
import { BlockList, SocketAddress } from 'node:net'
import { ipv4, ipv6 } from 'ibverbs/ethernet'
import { describe, expect, test } from 'vitest'
import { Random } from '../beds/random.js'

describe('IPv4', () => {
  test.each([
    ['0.0.0.0', 0],
    ['10.0.0.1', 0x0a000001],
    ['192.168.255.254', 0xc0a8fffe],
    ['255.255.255.255', 0xffffffff],
  ])('%s', (text, value) => {
    expect(ipv4.parse(text)).toBe(value)
    expect(ipv4.format(value)).toBe(text)
  })

  test.each(['', '1.2.3', '1.2.3.4.5', '256.0.0.1', '1.2.3.-4', '01.2.3.4', ' 1.2.3.4', '::1', '0x7f.1'])(
    'refused: "%s"',
    (text) => {
      expect(() => ipv4.parse(text)).toThrow(
        expect.objectContaining({ name: 'RangeError', code: 'ERR_OUT_OF_RANGE' }),
      )
    },
  )

  test('refused: not a string', () => {
    expect(() => ipv4.parse(1 as never)).toThrow(
      expect.objectContaining({ name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' }),
    )
  })
})

describe('IPv6', () => {
  // RFC 5952, sections 1 and 4; RFC 4291, section 2.2.
  test.each([
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:0db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8::0:1', '2001:db8::1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['2001:DB8::AbCd', '2001:db8::abcd'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['0:0:0:0:0:0:0:1', '::1'],
    ['1::', '1::'],
    ['FF01:0:0:0:0:0:0:101', 'ff01::101'],
    ['::FFFF:129.144.52.38', '::ffff:129.144.52.38'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
    ['::2:3:4:5:6:7:8', '0:2:3:4:5:6:7:8'],
  ])('%s', (text, canonical) => {
    expect(ipv6.format(ipv6.parse(text))).toBe(canonical)
    expect(ipv6.parse(canonical)).toEqual(ipv6.parse(text))
  })

  test('the bytes', () => {
    expect([...ipv6.parse('2001:db8::102:304')]).toEqual([
      0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4,
    ])
    const bytes = new Uint8Array(20)
    bytes.set(ipv6.parse('fe80::1'), 4)
    expect(ipv6.format(bytes, 4)).toBe('fe80::1')
  })

  test('random addresses come back, and Node reads the same', () => {
    const random = new Random(5952)
    for (let i = 0; i < 300; i++) {
      const bytes = random.bytes(16)
      for (let group = 0; group < 8; group++) if (random.u8() > 120) bytes.fill(0, 2 * group, 2 * group + 2)
      const text = ipv6.format(bytes)
      expect(ipv6.parse(text)).toEqual(bytes)
      const list = new BlockList()
      list.addAddress(new SocketAddress({ address: text, family: 'ipv6' }))
      const full = Array.from({ length: 8 }, (_, k) => (bytes[2 * k] * 256 + bytes[2 * k + 1]).toString(16))
      expect(list.check(full.join(':'), 'ipv6')).toBe(true)
    }
  })

  test.each(['', ':', '1:2:3:4:5:6:7', '1::2::3', '12345::', 'fe80::1%eth0', '1.2.3.4', '::1.2.3', 'g::'])(
    'refused: "%s"',
    (text) => {
      expect(() => ipv6.parse(text)).toThrow(
        expect.objectContaining({ name: 'RangeError', code: 'ERR_OUT_OF_RANGE' }),
      )
    },
  )

  test('fewer than sixteen bytes to format', () => {
    expect(() => ipv6.format(new Uint8Array(15))).toThrow(
      expect.objectContaining({ name: 'RangeError', code: 'ERR_OUT_OF_RANGE' }),
    )
    expect(() => ipv6.format('x' as never)).toThrow(
      expect.objectContaining({ name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' }),
    )
  })

  test('copied, compared, classified', () => {
    const bytes = new Uint8Array(60)
    const [a, b] = [ipv6.parse('2001:db8::1'), ipv6.parse('ff02::1')]
    ipv6.write(bytes, 2, 0, 59, a, b)
    expect(ipv6.equalAddress(bytes, 2 + ipv6.sourceOffset, a, 0)).toBe(true)
    expect(ipv6.equalAddress(bytes, 2 + ipv6.sourceOffset, bytes, 2 + ipv6.destinationOffset)).toBe(false)
    expect(ipv6.isMulticast(bytes, 2 + ipv6.destinationOffset)).toBe(true)
    expect(ipv6.isMulticast(bytes, 2 + ipv6.sourceOffset)).toBe(false)
    ipv6.setSource(bytes, 2, b)
    ipv6.setDestination(bytes, 2, Uint8Array.of(9, ...a), 1)
    expect(ipv6.format(bytes, 2 + ipv6.sourceOffset)).toBe('ff02::1')
    expect(ipv6.format(bytes, 2 + ipv6.destinationOffset)).toBe('2001:db8::1')
    ipv6.copyAddress(bytes, 40, bytes, 2 + ipv6.sourceOffset)
    expect(ipv6.format(bytes, 40)).toBe('ff02::1')
  })
})
