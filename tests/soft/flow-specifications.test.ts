/** Flow rules as the bytes that ibv_create_flow(3) gets, against struct ibv_flow_spec_* of verbs.h laid out by hand. */
import type { FlowRule } from 'ibverbs'
import { describe, expect, test } from 'vitest'
import { flowsArgument } from '../../dist/flow/normalize.js'
import { verbsFlowRules, withActions } from '../../dist/flow/verbs.js'

const compile = (...rules: FlowRule[]): string[] =>
  verbsFlowRules(flowsArgument('rules', rules)).map((bytes) => Buffer.from(bytes).toString('hex'))

/** Fields separated by blanks, for readability. */
const hex = (...parts: string[]): string => parts.join('').replaceAll(' ', '')

const zeros = (bytes: number): string => '00'.repeat(bytes)
const ones = (bytes: number): string => 'ff'.repeat(bytes)
/** ibv_flow_spec_eth: type, size, value and mask of (destination, source, EtherType, tag), two bytes of padding. */
const eth = (value: string, mask: string): string => hex('20000000 2800', value, mask, '0000')
/** ibv_flow_spec_ipv4_ext: …, value and mask of (source, destination, protocol, TOS, TTL, flags). */
const ipv4 = (value: string, mask: string): string => hex('32000000 2000 0000', value, mask)
/** ibv_flow_spec_ipv6: …, (source, destination, label, next header, traffic class, hop limit, padding). */
const ipv6 = (value: string, mask: string): string => hex('31000000 5800 0000', value, mask)
const noIpv4 = ipv4(zeros(12), zeros(12))
const noIpv6 = ipv6(zeros(40), zeros(40))
/** ibv_flow_spec_tcp_udp: …, (destination, source), two bytes of padding. */
const ports = (type: string, value: string, mask: string): string =>
  hex(`${type}000000 1000`, value, mask, '0000')

describe('a rule and its specifications', () => {
  test('everything', () => {
    expect(compile({})).toEqual([eth(zeros(16), zeros(16))])
  })

  test('addresses, EtherType and tag', () => {
    expect(compile({ destinationMac: '02:00:0a:01:02:03', sourceMac: '02:00:0a:04:05:06' })).toEqual([
      eth(hex('02000a010203 02000a040506', zeros(4)), hex(ones(12), zeros(4))),
    ])
    expect(compile({ etherType: 0x88b5, vlan: 261 })).toEqual([
      eth(hex(zeros(12), '88b5 0105'), hex(zeros(12), 'ffff 0fff')),
    ])
    // Id 0 is a tag too: the mask selects it.
    expect(compile({ vlan: 0 })).toEqual([eth(zeros(16), hex(zeros(14), '0fff'))])
  })

  test('prefixes', () => {
    expect(compile({ source: '10.128.0.0/9', destination: '203.0.113.7' })).toEqual([
      ipv4(hex('0a800000 cb007107 00000000'), hex('ff800000 ffffffff 00000000')),
    ])
    expect(compile({ destination: 'fe80::/10' })).toEqual([
      ipv6(hex(zeros(16), 'fe80', zeros(22)), hex(zeros(16), 'ffc0', zeros(22))),
    ])
    expect(compile({ source: '0.0.0.0/0' })).toEqual([noIpv4])
  })

  test('a protocol, for both versions unless the rule names one', () => {
    expect(compile({ protocol: 'icmp', etherType: 0x0800 })).toEqual([
      ipv4(hex(zeros(8), '01000000'), hex(zeros(8), 'ff000000')),
    ])
    expect(compile({ protocol: 58, source: '::1' })).toEqual([
      ipv6(hex(zeros(15), '01', zeros(20), '3a000000'), hex(ones(16), zeros(20), 'ff000000')),
    ])
    expect(compile({ protocol: 'tcp' })).toEqual([
      hex(noIpv4, ports('40', '00000000', '00000000')),
      hex(noIpv6, ports('40', '00000000', '00000000')),
    ])
  })

  test('ports', () => {
    const rule = { etherType: 0x0800, protocol: 'udp', sourcePort: 4000, destinationPort: 53 } as const
    expect(compile(rule)).toEqual([hex(noIpv4, ports('41', '0035 0fa0', 'ffffffff'))])
  })

  test('with actions', () => {
    const [rule] = verbsFlowRules(flowsArgument('rules', [{}]))
    const done = Buffer.from(withActions(rule, { tag: 0x123456, drop: true })).toString('hex')
    expect(done).toBe(hex(eth(zeros(16), zeros(16)), '00100000 0c00 0000 56341200', '01100000 0800 0000'))
  })
})

describe('that take more than one of the device’s rules', () => {
  test('a range of ports becomes the fewest possible aligned blocks', () => {
    const blocks = (from: number, to: number): [number, number][] =>
      verbsFlowRules(
        flowsArgument('rules', [{ etherType: 0x0800, protocol: 'tcp', destinationPort: { from, to } }]),
      ).map((bytes) => {
        const view = new DataView(bytes.buffer, 32)
        return [view.getUint16(6), view.getUint16(10)]
      })
    expect(blocks(1, 1)).toEqual([[1, 0xffff]])
    expect(blocks(32768, 65535)).toEqual([[0x8000, 0x8000]])
    expect(blocks(80, 81)).toEqual([[80, 0xfffe]])
    expect(blocks(1, 6)).toEqual([
      [1, 0xffff],
      [2, 0xfffe],
      [4, 0xfffe],
      [6, 0xffff],
    ])
    expect(blocks(1, 65534)).toHaveLength(30)
    // Each number of a range is in exactly one block, and no other number is in any.
    for (const [from, to] of [
      [1, 1023],
      [999, 4097],
      [49152, 65535],
      [7, 7],
    ]) {
      const covered = new Uint8Array(65536)
      for (const [value, mask] of blocks(from, to)) {
        for (let port = 0; port < 65536; port++) if ((port & mask) === value) covered[port]++
      }
      expect(covered).toEqual(Uint8Array.from(covered, (_, port) => (port >= from && port <= to ? 1 : 0)))
    }
  })

  test('two ranges multiply, and too many blocks are refused', () => {
    const range = (from: number, to: number): FlowRule => ({
      etherType: 0x0800,
      protocol: 'tcp',
      sourcePort: { from, to },
      destinationPort: { from, to },
    })
    expect(compile(range(1, 6))).toHaveLength(16)
    expect(compile(range(1, 65534))).toHaveLength(900)
    expect(() => compile(range(1, 65534), { ...range(1, 65534), vlan: 5 })).toThrow(
      expect.objectContaining({ code: 'ERR_OUT_OF_RANGE', message: expect.stringContaining('at most 1024') }),
    )
  })

  test('a duplicate rule is installed once, because two would deliver the frame twice', () => {
    expect(compile({ source: '10.0.0.1' }, { source: '10.0.0.1/32' })).toHaveLength(1)
  })
})

describe('bytes', () => {
  const value = (...bytes: number[]): Uint8Array => Uint8Array.from(bytes)

  test('where the device has a field', () => {
    expect(compile({ bytes: [{ offset: 4, value: value(1, 2, 3) }] })).toEqual([
      eth(hex('00000000 0102 03', zeros(9)), hex('00000000 ffff ff', zeros(9))),
    ])
    const ttl = { from: 'network', offset: 8, value: value(64) } as const
    expect(compile({ source: '10.0.0.1', bytes: [ttl] })).toEqual([
      ipv4(hex('0a000001', zeros(6), '4000'), hex('ffffffff', zeros(6), 'ff00')),
    ])
    const low = { from: 'transport', offset: 2, value: value(1, 0), mask: value(3, 0) } as const
    expect(compile({ etherType: 0x0800, protocol: 'tcp', bytes: [low] })).toEqual([
      hex(noIpv4, ports('40', '0100 0000', '0300 0000')),
    ])
  })

  test('that contradict the rest match nothing', () => {
    const other = { offset: 0, value: value(4) }
    expect(compile({ destinationMac: '02:00:00:00:00:01', bytes: [other] })).toEqual([])
    const another = { from: 'network', offset: 9, value: value(17) } as const
    expect(compile({ etherType: 0x0800, protocol: 'icmp', bytes: [another] })).toEqual([])
  })
})

test.each<[FlowRule, string]>([
  [{ vlan: 'none' }, '"rules[0].vlan"'],
  [{ etherType: 0x8100 }, '"rules[0].etherType"'],
  [{ protocol: 'sctp', destinationPort: 5 }, '"rules[0].destinationPort"'],
  [{ protocol: 'udpLite', sourcePort: { from: 1, to: 2 } }, '"rules[0].sourcePort"'],
  [{ protocol: 'tcp', destinationPort: { from: 0, to: 5 } }, '"rules[0].destinationPort"'],
  [{ protocol: 'udp', sourcePort: 0 }, '"rules[0].sourcePort"'],
  [{ bytes: [{ offset: 11, value: Uint8Array.of(1, 2) }] }, '"rules[0].bytes[0]"'],
  [{ bytes: [{ offset: 100, value: Uint8Array.of(1) }] }, '"rules[0].bytes[0]"'],
  [{ bytes: [{ from: 'network', offset: 0, value: Uint8Array.of(1) }] }, '"rules[0].bytes[0]"'],
  [
    { etherType: 0x0800, protocol: 1, bytes: [{ from: 'transport', offset: 0, value: Uint8Array.of(8) }] },
    '"rules[0].bytes[0]"',
  ],
  [
    { protocol: 'tcp', bytes: [{ from: 'transport', offset: 13, value: Uint8Array.of(2) }] },
    '"rules[0].bytes[0]"',
  ],
  [
    { source: '10.0.0.1', bytes: [{ from: 'network', offset: 6, value: Uint8Array.of(0x40) }] },
    '"rules[0].bytes[0]"',
  ],
])('%o is refused by name', (rule, field) => {
  expect(() => compile(rule)).toThrow(
    expect.objectContaining({
      code: 'ENOTSUP',
      syscall: 'ibv_create_flow',
      message: expect.stringContaining(field),
    }),
  )
})
