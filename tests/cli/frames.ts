/** Hand-made frames, for the tests of the command line's output and captures. */
import { parseHex } from '../../dist/cli/hex.js'

const macs = '02:00:00:00:00:02 02:00:00:00:00:01'

function bytes(hex: string): Buffer {
  return Buffer.from(parseHex(hex))
}

export function ethernet(type: string, payload: Uint8Array | string): Buffer {
  return Buffer.concat([bytes(`${macs} ${type}`), typeof payload === 'string' ? bytes(payload) : payload])
}

/** The one's complement sum of RFC 1071. */
function checksum(data: Buffer): number {
  let sum = 0
  for (let i = 0; i < data.length; i += 2) sum += (data[i] << 8) | (data[i + 1] ?? 0)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return ~sum & 0xffff
}

export function ipv4(protocol: number, payload: Buffer, { offset = 0, moreFragments = false } = {}): Buffer {
  const header = bytes('4500 0000 1234 0000 40 00 0000 0a000001 0a000002')
  header.writeUInt16BE(20 + payload.length, 2)
  header.writeUInt16BE((moreFragments ? 0x2000 : 0) | (offset >> 3), 6)
  header[9] = protocol
  header.writeUInt16BE(checksum(header), 10)
  return Buffer.concat([header, payload])
}

export function ipv6(next: number, payload: Buffer, to = 'fe80 0000 0000 0000 0000 0000 0000 0002'): Buffer {
  const header = bytes(`6000 0000 0000 0040 fe80 0000 0000 0000 0000 0000 0000 0001 ${to}`)
  header.writeUInt16BE(payload.length, 4)
  header[6] = next
  return Buffer.concat([header, payload])
}

export function udp(from: number, to: number, data: Buffer): Buffer {
  const header = Buffer.alloc(8)
  header.writeUInt16BE(from, 0)
  header.writeUInt16BE(to, 2)
  header.writeUInt16BE(8 + data.length, 4)
  return Buffer.concat([header, data])
}

export function tcp(flags: number, data = '', options = ''): Buffer {
  const header = bytes(
    `c350 c351 00000064 000000c8 ${(((20 + bytes(options).length) / 4) << 4).toString(16)} 00 fa00 0000 0005`,
  )
  header[13] = flags
  return Buffer.concat([header, bytes(options), Buffer.from(data, 'latin1')])
}

/** A frame of each kind that dump can describe. Names are those of the tests. */
export const frames: Readonly<Record<string, Buffer>> = {
  'ARP request': ethernet('0806', '0001 0800 06 04 0001 020000000001 0a000001 000000000000 0a000002'),
  'ARP request, padded': ethernet(
    '0806',
    `0001 0800 06 04 0001 020000000001 0a000001 000000000000 0a000002 ${'00'.repeat(18)}`,
  ),
  'ARP request that knows the MAC': ethernet(
    '0806',
    '0001 0800 06 04 0001 020000000001 0a000001 020000000002 0a000002',
  ),
  'ARP reply': ethernet('0806', '0001 0800 06 04 0002 020000000001 0a000001 020000000002 0a000002'),
  'ICMP echo request': ethernet('0800', ipv4(1, bytes(`0800 f7f8 0007 0001 ${'61'.repeat(24)}`))),
  'ICMP echo reply': ethernet('0800', ipv4(1, bytes('0000 0000 0007 0001'))),
  'ICMP port unreachable': ethernet(
    '0800',
    ipv4(1, Buffer.concat([bytes('0303 0000 00000000'), ipv4(17, udp(5000, 6000, Buffer.alloc(4)))])),
  ),
  'ICMP host unreachable': ethernet(
    '0800',
    ipv4(1, Buffer.concat([bytes('0301 0000 00000000'), ipv4(17, udp(5000, 6000, Buffer.alloc(4)))])),
  ),
  'ICMP time exceeded': ethernet(
    '0800',
    ipv4(1, Buffer.concat([bytes('0b00 0000 00000000'), ipv4(17, udp(5000, 6000, Buffer.alloc(4)))])),
  ),
  'UDP over IPv4': ethernet('0800', ipv4(17, udp(50000, 50001, Buffer.from('hello')))),
  'UDP over IPv4, padded': ethernet(
    '0800',
    Buffer.concat([ipv4(17, udp(50000, 50001, Buffer.from('hi'))), Buffer.alloc(16)]),
  ),
  'UDP fragment': ethernet('0800', ipv4(17, Buffer.alloc(16), { offset: 1480 })),
  'TCP SYN with options': ethernet(
    '0800',
    ipv4(6, tcp(0x02, '', '020405b4 0402 080a 0000000a 00000000 01 030307')),
  ),
  'TCP SYN ACK': ethernet('0800', ipv4(6, tcp(0x12))),
  'TCP ACK': ethernet('0800', ipv4(6, tcp(0x10))),
  'TCP data': ethernet('0800', ipv4(6, tcp(0x18, 'hello'))),
  'TCP selective acknowledgement': ethernet('0800', ipv4(6, tcp(0x10, '', '0101 050a 00000001 00000002'))),
  'TCP FIN': ethernet('0800', ipv4(6, tcp(0x11))),
  'TCP RST': ethernet('0800', ipv4(6, tcp(0x04))),
  'TCP urgent, ECE, CWR': ethernet('0800', ipv4(6, tcp(0xf8, 'x'))),
  'TCP without flags': ethernet('0800', ipv4(6, tcp(0))),
  'IPv4 of an unknown protocol': ethernet('0800', ipv4(253, Buffer.alloc(20))),
  'UDP over IPv6': ethernet('86dd', ipv6(17, udp(50000, 50001, Buffer.from('hello')))),
  'TCP over IPv6': ethernet('86dd', ipv6(6, tcp(0x18, 'hello'))),
  'ICMPv6 echo request': ethernet('86dd', ipv6(58, bytes('8000 0000 0007 0001'))),
  'ICMPv6 neighbor solicitation': ethernet(
    '86dd',
    ipv6(
      58,
      bytes('8700 0000 00000000 fe80 0000 0000 0000 0000 0000 0000 0002 0101 020000000001'),
      'ff02 0000 0000 0000 0000 0001 ff00 0002',
    ),
  ),
  'ICMPv6 neighbor advertisement': ethernet(
    '86dd',
    ipv6(58, bytes('8800 0000 60000000 fe80 0000 0000 0000 0000 0000 0000 0002 0201 020000000002')),
  ),
  'ICMPv6 router solicitation': ethernet(
    '86dd',
    ipv6(58, bytes('8500 0000 00000000 0101 020000000001'), 'ff02 0000 0000 0000 0000 0000 0000 0002'),
  ),
  'MLDv2 report behind hop-by-hop options': ethernet(
    '86dd',
    ipv6(
      0,
      bytes('3a00 0502 0000 0100 8f00 0000 0000 0001 04000000 ff02 0000 0000 0000 0000 0001 ff00 0002'),
      'ff02 0000 0000 0000 0000 0000 0000 0016',
    ),
  ),
  'VLAN-tagged UDP': ethernet(
    '8100',
    Buffer.concat([bytes('6005 0800'), ipv4(17, udp(50000, 50001, Buffer.from('hello')))]),
  ),
  'unknown EtherType': ethernet('88b5', '68656c6c6f'),
}
