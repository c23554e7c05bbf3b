/** Filters in tcpdump's words: which frames they match, compared with the real tcpdump. */

import { PcapEncoder } from 'ibverbs/ethernet'
import { describe, expect, test } from 'vitest'
import { parseFilter } from '../../dist/cli/filter.js'
import { execFileSync } from '../beds/child.js'
import { parse } from '../capture/tools.js'
import { matches } from '../ethernet/flows.js'
import { ethernet, ipv4, ipv6, frames as kinds, tcp, udp } from './frames.js'

const arp = (from: string, to: string) =>
  ethernet('0806', `0001 0800 06 04 0001 020000000001 ${from} 000000000000 ${to}`)
const text = (frame: Uint8Array) => Buffer.from(frame).toString('hex')

/** Frames that many filters just match, or just miss. No VLAN tags: a flow rule passes them over, tcpdump does not. */
const list: Buffer[] = [
  ...Object.entries(kinds).flatMap(([name, frame]) => (name.startsWith('VLAN') ? [] : [frame])),
  ...[53, 80, 443, 5000, 5005, 5010, 5011].flatMap((port) => [
    ethernet('0800', ipv4(17, udp(port, 4000, Buffer.alloc(4)))),
    ethernet('0800', ipv4(17, udp(4000, port, Buffer.alloc(4)))),
    ethernet('86dd', ipv6(17, udp(port, port + 1, Buffer.alloc(4)))),
  ]),
  ethernet('0800', ipv4(132, udp(80, 81, Buffer.alloc(4)))),
  ethernet('0800', ipv4(6, Buffer.concat([Buffer.from([0, 80, 0x13, 0x88]), tcp(2).subarray(4)]))),
  arp('0a000001', '0a000002'),
  arp('0a010203', '0a000001'),
  arp('0a000002', 'c0a80105'),
  Buffer.concat([
    Buffer.from('ffffffffffff0200000000018035', 'hex'),
    arp('0a000001', '0a000002').subarray(14),
  ]),
  ...['ffffffffffff', '01005e000001', '333300000001', '020000000007'].map((to) =>
    Buffer.concat([Buffer.from(`${to}02000000000988b5`, 'hex'), Buffer.alloc(46)]),
  ),
  ...['0a000001c0a80105', 'c0a801050a000001', 'c0a80106c0a80105', '0a0102030a020304'].map((addresses) => {
    const frame = ethernet('0800', ipv4(17, udp(1, 2, Buffer.alloc(4))))
    Buffer.from(addresses, 'hex').copy(frame, 26)
    return frame
  }),
]

function tcpdump(filter: string): string[] {
  const encoder = new PcapEncoder()
  for (const frame of list) encoder.add(1, 0, frame)
  const input = Buffer.concat([encoder.header(), encoder.take()])
  const output = execFileSync('tcpdump', ['-r', '-', '-w', '-', ...filter.split(' ')], {
    input,
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  return parse(output).map(({ bytes }) => bytes)
}

function ours(filter: string): string[] {
  const rules = parseFilter(filter.split(' '))
  return list.filter((frame) => !rules || rules.some((rule) => matches(rule, frame))).map(text)
}

describe('matches what tcpdump matches', () => {
  test.each([
    ...['ip', 'ip6', 'arp', 'rarp', 'icmp', 'icmp6', 'tcp', 'udp', 'sctp'],
    ...[
      'host 10.0.0.1',
      'src host 10.0.0.1',
      'dst 10.0.0.2',
      'src or dst host 192.168.1.5',
      'src and dst 10.0.0.1',
    ],
    ...['ip host 10.0.0.1', 'arp host 10.0.0.1', 'arp src 10.0.0.2', 'rarp dst host 10.0.0.2'],
    ...[
      'net 10',
      'net 10.0.0.0/8',
      'src net 192.168.1',
      'dst net 10.0.0.0/30',
      'arp net 10.1',
      'net 0.0.0.0/0',
    ],
    ...['host fe80::1', 'dst net ff02::/16', 'ip6 net fe80::/10', 'ip6 host fe80::2'],
    ...[
      'port 80',
      'src port 80',
      'dst port 53',
      'udp port 53',
      'tcp port 5000',
      'tcp dst port 80',
      'sctp port 80',
    ],
    ...['portrange 5000-5010', 'udp src portrange 443-5005', 'port 80 or 443', 'ip6 and port 80'],
    ...['ether host 02:00:00:00:00:01', 'ether src 02:00:00:00:00:09', 'ether dst 02-00-00-00-00-07'],
    ...['broadcast', 'ether broadcast', 'multicast', 'ether multicast'],
    ...[
      'ether proto 0x88b5',
      'ether proto \\arp',
      'ip proto 17',
      'ip proto \\udp',
      'ip6 proto 58',
      'proto 6',
    ],
    ...[
      'udp and host 10.0.0.1',
      'host 10.0.0.1 and host 192.168.1.5',
      'net 10 and dst net 10.2',
      'tcp or arp',
    ],
    ...['( udp or tcp ) and port 80', 'udp or tcp and port 80', 'udp && (port 53 || port 443)'],
    ...['src 10.0.0.1 and udp and portrange 5005-6000', 'ip and ( icmp or udp port 5000 )'],
    ...['portrange 5000-5010 and port 5005', 'src port 80 and dst port 81', 'arp and ether broadcast'],
  ])('%s', (filter) => {
    const expected = tcpdump(filter.replaceAll('&&', 'and'))
    expect(ours(filter)).toEqual(expected)
  })

  test('and each of the lists above says something: no filter matches all or nothing', () => {
    for (const filter of ['ip', 'host 10.0.0.1', 'net 10', 'port 80', 'multicast', 'tcp or arp']) {
      expect(ours(filter).length).toBeGreaterThan(0)
      expect(ours(filter).length).toBeLessThan(list.length)
    }
  })
})

test('VLAN tags are passed over, and named by their id', () => {
  const tagged = kinds['VLAN-tagged UDP']
  for (const [filter, expected] of [
    ['udp', true],
    ['vlan 5', true],
    ['vlan 5 and udp port 50001', true],
    ['vlan 6', false],
    ['tcp', false],
  ] as const) {
    const rules = parseFilter([filter])!
    expect({ filter, matches: rules.some((rule) => matches(rule, tagged)) }).toEqual({
      filter,
      matches: expected,
    })
  }
})

test('no filter is no rule', () => {
  expect(parseFilter([])).toBeUndefined()
  expect(parseFilter([' '])).toBeUndefined()
})

describe('refuses by name', () => {
  const none = 'flow rules say what is wanted, not what is not'
  test.each([
    ['not tcp', `'not' cannot be expressed as a flow rule: ${none}`],
    ['udp and !tcp', `'!' cannot be expressed as a flow rule: ${none}`],
    ['less 100', "'less' cannot be expressed as a flow rule: flow rules do not look at lengths"],
    ['inbound', "'inbound' cannot be expressed as a flow rule: say '-Q in'"],
    ['tcp[13] = 2', "'tcp[13]' cannot be expressed as a flow rule: comparisons of bytes are not read here"],
    ['len > 5', "'len' cannot be expressed as a flow rule: flow rules do not look at lengths"],
    ['vlan', "'vlan' without an id cannot be expressed as a flow rule: name one, 'vlan 5'"],
    ['vlan 4095', "vlan must be an integer from 0 to 4094, not '4095'"],
    ['udp and tcp', "no frame can match 'udp and tcp'"],
    ['ip and host fe80::1', "no frame can match 'ip and host fe80::1'"],
    ['src 10.0.0.1 and src 10.0.0.2', "no frame can match 'src 10.0.0.1 and src 10.0.0.2'"],
    ['host example.org', "'example.org' is no IP address; names are not looked up"],
    ['host 02:00:00:00:00:01', "'02:00:00:00:00:01' is a MAC address: say 'ether host'"],
    ['net 10.0.0.1/8', "'10.0.0.1/8' has bits behind its length: '10.0.0.0/8'?"],
    ['net fe80::1/10', "'fe80::1/10' has bits behind its length: 'fe80::/10'?"],
    ['net 10/33', "'/33' is no length of a prefix"],
    ['port http', "port must be an integer from 0 to 65535, not 'http'"],
    ['port 65536', "port must be an integer from 0 to 65535, not '65536'"],
    ['portrange 9-5', "port must be an integer from 9 to 65535, not '5'"],
    ['portrange 9', "'9' is no range of ports like 5000-5010"],
    ['icmp port 5', 'icmp has no ports'],
    ['ether host 10.0.0.1', "'10.0.0.1' is no MAC address"],
    ['ether', "'ether' what? host, src, dst, proto or broadcast"],
    ['tcp host 10.0.0.1', "'tcp host' is no primitive: say 'tcp and host …'"],
    ['( udp', "it ends where ')' should be"],
    ['udp )', "unexpected ')'"],
    ['udp and', 'it ends where a primitive should be'],
    ['udp tcp', "unexpected 'tcp'"],
    ['10.0.0.1', "'10.0.0.1' is what? Say host, net or port before it"],
    ['frob', "unknown word 'frob'; see 'ibverbs dump --help'"],
    ['port', "it ends where an identifier for 'port' should be"],
    ['src or src 10.0.0.1', "'src or src' is no direction"],
  ])('%s', (filter, message) => {
    expect(() => parseFilter(filter.split(' '))).toThrow(`filter: ${message}`)
  })
})
