/** A frame of every kind that dump can describe, including odd and broken ones. Names are those of the tests. */
import { parseHex } from '../../dist/cli/hex.js'
import { ethernet as eth, ipv4 as ip4, ipv6, udp } from './frames.js'

const h = (text: string) => Buffer.from(parseHex(text.replace(/ /g, '')))
const ip6 = (next: number, payload: Buffer) => ipv6(next, payload, 'fe80 0000 0000 0000 0000 0000 0000 0002')
const nothing: Buffer = Buffer.alloc(0)
const zeros = (length: number) => Buffer.alloc(length)
/** The payload of tunnels, and the datagram that error messages quote. */
const datagram = udp(1000, 5000, zeros(4))
const [packet4, packet6] = [ip4(17, datagram), ip6(17, datagram)]
const address6 = 'fe80000000000000 0000000000000002'
const syn = h('03e8 1388 00000001 00000000 5002 03e8 0000 0000')
const check = 'aabbccddeeff001122334455'

const over4 = (protocol: number, hex: string, behind = nothing) =>
  eth('0800', ip4(protocol, Buffer.concat([h(hex), behind])))
const over6 = (next: number, hex: string, behind = nothing) =>
  eth('86dd', ip6(next, Buffer.concat([h(hex), behind])))
const frame = (type: string, hex: string, behind = nothing) => eth(type, Buffer.concat([h(hex), behind]))
/** An IEEE 802.3 frame: the length in place of the type. */
const llc = (hex: string, behind = nothing) => {
  const payload = Buffer.concat([h(hex), behind])
  return eth(payload.length.toString(16).padStart(4, '0'), payload)
}
const icmp = (hex: string, quoted = packet4) => over4(1, hex, quoted)
const icmp6 = (hex: string, quoted = packet6) => over6(58, hex, quoted)
const igmp = (hex: string) => over4(2, hex)
const sctp = (chunks: string) => over4(132, `0001 0002 00000000 00000000 ${chunks}`)
const tcp = (options: string, flags = 0x02, data = nothing) => {
  const header = Buffer.from(syn)
  header[12] = (header.length + h(options).length) << 2
  header[13] = flags
  return over4(6, '', Buffer.concat([header, h(options), data]))
}
const ipv4Header = 14
const ipv4Payload = ipv4Header + 20
/** A copy of a frame with some of its bytes changed. */
const changed = (original: Buffer, change: (bytes: Buffer) => void) => {
  const copy = Buffer.from(original)
  change(copy)
  return copy
}
const padding = '010400000000'

const codes = (count: number, one: (code: string) => Buffer, name: string) =>
  Object.fromEntries(
    Array.from({ length: count }, (_, code) => [
      `${name}, code ${code}`,
      one(code.toString(16).padStart(2, '0')),
    ]),
  )

export const kinds: Readonly<Record<string, Buffer>> = {
  ...codes(17, (code) => icmp(`03${code} 0000 00000578`), 'ICMP unreachable'),
  ...codes(5, (code) => icmp(`05${code} 0000 0a000009`), 'ICMP redirect'),
  ...codes(3, (code) => icmp(`0b${code} 0000 00000000`), 'ICMP time exceeded'),
  ...codes(2, (code) => icmp(`0c${code} 0000 05000000`), 'ICMP parameter problem'),
  'ICMP need to frag without an MTU': icmp('0304 0000 00000000'),
  'ICMP source quench': icmp('0400 0000 00000000'),
  'ICMP time stamp query': icmp('0d00 0000 00010002 00000001 00000002 00000003', nothing),
  'ICMP time stamp reply': icmp('0e00 0000 00010002 00000001 04dd2f83 00000003', nothing),
  'ICMP address mask request': icmp('1100 0000 00010002 00000000', nothing),
  'ICMP address mask reply': icmp('1200 0000 00010002 ffffff00', nothing),
  'ICMP information request': icmp('0f00 0000 00010002', nothing),
  'ICMP information reply': icmp('1000 0000 00010002', nothing),
  'ICMP router solicitation': icmp('0a00 0000 00000000', nothing),
  'ICMP router advertisement': icmp('0900 0000 0102 0708 0a000001 00000000', nothing),
  'ICMP router advertisement, hours': icmp('0900 0000 0102 2710 0a000001 00000005', nothing),
  'ICMP of an unknown type': icmp('2a03 0000 00000000', nothing),
  'ICMP TCP port unreachable': icmp('0303 0000 00000000', ip4(6, h('0001 0050 00000000'))),
  'ICMP port unreachable of ICMP': icmp('0303 0000 00000000', ip4(1, zeros(8))),
  'ICMP that is too short': over4(1, '0800'),

  ...codes(5, (code) => icmp6(`01${code} 0000 00000000`), 'ICMPv6 unreachable'),
  ...codes(2, (code) => icmp6(`03${code} 0000 00000000`), 'ICMPv6 time exceeded'),
  ...codes(4, (code) => icmp6(`04${code} 0000 00000028`), 'ICMPv6 parameter problem'),
  'ICMPv6 packet too big': icmp6('0200 0000 00000500'),
  'multicast listener query v2': icmp6(`8200 0000 03e8 0000 ${address6} 027d0000`, nothing),
  'multicast listener query': icmp6(`8200 0000 03e8 0000 ${address6}`, nothing),
  'multicast listener report': icmp6(`8300 0000 0000 0000 ${address6}`, nothing),
  'multicast listener done': icmp6(`8400 0000 0000 0000 ${address6}`, nothing),
  'multicast listener report v2': icmp6(`8f00 0000 0000 0001 04000000 ${address6}`, nothing),
  'ICMPv6 redirect': icmp6(`8900 0000 0000 0000 ${address6} fe800000000000000000000000000001`, nothing),
  'ICMPv6 router advertisement': icmp6('8600 0000 40000708 00000000 00000000', nothing),
  'ICMPv6 that is too short': icmp6('80', nothing),
  'ICMPv6 port unreachable that is too short': icmp6('0104 0000 00000000', nothing),

  'IGMP query v1': igmp('1100 0000 00000000'),
  'IGMP query v2': igmp('1164 0000 00000000'),
  'IGMP query v2 of a group': igmp('1164 0000 e0010101'),
  'IGMP query v3': igmp('1164 0000 00000000 027d0000'),
  'IGMP query v3 of a source': igmp('1164 0000 e0010101 027d0001 0a000001'),
  'IGMP v1 report': igmp('1200 0000 e0010101'),
  'IGMP v2 report': igmp('1600 0000 e0010101'),
  'IGMP leave': igmp('1700 0000 e0010101'),
  'IGMP v3 report': igmp('2200 0000 00000001 04000000 e0010101'),
  'IGMP of an unknown type': igmp('9900 0000 e0010101'),
  'IGMP that is too short': igmp('1100'),

  'STP configuration': llc(
    '424203 0000 00 00 01 8000020000000001 00000004 8000020000000002 8001 0100 1400 0200 0f00',
  ),
  'STP topology change': llc('424203 0000 00 80'),
  'rapid STP': llc(
    '424203 0000 02 02 3c 8000020000000001 00000004 8000020000000002 8001 0100 1400 0200 0f00 00',
  ),
  'STP, padded': frame('0026', '424203 0000 00 00 00', zeros(48)),
  'STP with a length beyond the frame': frame('0300', '424203 0000 00 00', zeros(31)),
  'STP behind a tag': frame('8100', '0005 0026 424203 0000 00 00 00', zeros(32)),
  'SNAP with IPv4': llc('aaaa03 000000 0800', packet4),
  'SNAP with a protocol that is unknown': llc('aaaa03 0000f8 1234 0102'),
  'LLC with IPv4': llc('060603', packet4),
  'LLC, unnumbered': llc('080803 0102'),
  'LLC, information': llc('0808 0204 0102'),
  'LLC, supervisory': llc('0808 0105'),
  'LLC, test': llc('0004 e3 0102'),
  'LLC, a response': llc('0805 f3 0102'),
  'LLC, NetBeui': llc('f0f0 03 2c00 ffef 08'),
  'LLC that is too short': llc('4242'),
  'length 0': frame('0000', '', zeros(46)),

  'VLAN tag of old (0x9100)': frame('9100', '0005 0800', packet4),
  'VLAN tag of old (0x9200)': frame('9200', '2005 0800', packet4),
  'two tags': frame(
    '88a8',
    '0005 8100 0006 0806 0001 0800 06 04 0001 020000000001 0a000001 000000000000 0a000002',
  ),
  LLDP: frame('88cc', '0207 04 020000000001 0403 03 6530 0602 0078 0a03 616263 0000'),
  'LLDP without a name': frame('88cc', '0207 04 020000000001 0403 03 6530 0602 0078 0000'),
  pause: frame('8808', '0001 ffff', zeros(42)),
  'priority flow control': frame('8808', '0101 00ff', zeros(42)),
  'multipoint control': frame('8808', '0002 00000000'),
  'EAPOL start': frame('888e', '0101 0000'),
  'EAP request': frame('888e', '0100 0005 01010005 01'),
  'EAPOL key': frame('888e', '0203 005f 02'),
  LACP: frame('8809', '01 01 0114', zeros(100)),
  marker: frame('8809', '02 01', zeros(40)),
  'slow protocol that is unknown': frame('8809', '0a 01', zeros(40)),
  loopback: frame('9000', '0000 0100', zeros(42)),
  'PTP sync': frame(
    '88f7',
    `00 02 002c 00 00 0200 0000000000030000 00000000 0011223344556677 0001 0005 00 fd 000065a1b2c3 00000064`,
  ),
  'PTP follow up': frame(
    '88f7',
    `18 02 002c 01 00 000c 0000000000000000 00000000 0011223344556677 0001 0005 02 00 000065a1b2c3 00000064`,
  ),
  'PTP that is too short': frame('88f7', '0b02 0036'),

  'inverse ARP request': frame('0806', '0001 0800 06 04 0008 020000000001 0a000001 020000000002 00000000'),
  'inverse ARP reply': frame('0806', '0001 0800 06 04 0009 020000000001 0a000001 020000000002 0a000002'),
  'ARP negative reply': frame('0806', '0001 0800 06 04 000a 020000000001 0a000001 020000000002 0a000002'),
  'ARP operation that is unknown': frame(
    '0806',
    '0001 0800 06 04 0063 020000000001 0a000001 020000000002 0a000002',
  ),
  'ARP of InfiniBand': frame(
    '0806',
    `0020 0800 14 04 0001 ${'11'.repeat(20)} 0a000001 ${'00'.repeat(20)} 0a000002`,
  ),
  'ARP of an unknown protocol': frame(
    '0806',
    '0001 1234 06 04 0001 020000000001 0a000001 000000000000 0a000002',
  ),
  'ARP with odd lengths': frame(
    '0806',
    '0001 0800 06 06 0001 020000000001 0a0000010000 000000000000 0a0000020000',
  ),
  'ARP request to all': frame('0806', '0001 0800 06 04 0001 020000000001 0a000001 ffffffffffff 0a000002'),
  'RARP request': frame('8035', '0001 0800 06 04 0003 020000000001 00000000 020000000001 00000000'),
  'RARP reply': frame('8035', '0001 0800 06 04 0004 020000000001 0a000001 020000000002 0a000002'),

  'TCP end of options': tcp('02040200 00000000'),
  'TCP MPTCP capable': tcp('1e0c 0081 0102030405060708'),
  'TCP MPTCP join': tcp('1e0c 1000 00000001 00000002'),
  'TCP MPTCP fast close': tcp('1e0c 7000 0000000000000001', 0x10),
  'TCP fast open, request': tcp('2202 0101'),
  'TCP fast open, cookie': tcp('2206 01020304 0101'),
  'TCP experimental option': tcp('fe04 1234'),
  'TCP fast open, experimental': tcp('fe08 f989 01020304'),
  'TCP user timeout in seconds': tcp('1c04 0000'),
  'TCP echo': tcp('0606 00000001 0101'),
  'TCP authentication': tcp('1d06 01020304 0101'),
  'TCP selective acknowledgement': tcp('050a 00000001 00000002 0101'),
  'TCP option that is unknown': tcp('4d02 0101'),
  'TCP option of a wrong length': tcp('0305 0100'),
  'TCP option beyond the header': tcp('0808 0102'),
  'TCP header that is too long': changed(tcp(''), (bytes) => bytes.writeUInt8(0x80, ipv4Payload + 12)),
  'TCP header that is too short': changed(tcp(''), (bytes) => bytes.writeUInt8(0x40, ipv4Payload + 12)),
  'TCP SYN with data': tcp('', 0x02, Buffer.from('ab')),

  'hop-by-hop options': over6(0, `1100 ${padding}`, datagram),
  'hop-by-hop options and ICMPv6': over6(0, `3a00 ${padding} 8000 0000 0001 0001`),
  'hop-by-hop options and TCP': over6(0, `0600 ${padding}`, syn),
  'destination options': over6(60, `1100 ${padding}`, datagram),
  'two extension headers': over6(0, `3c00 ${padding} 1100 ${padding}`, datagram),
  'routing header': over6(43, `1102 0001 00000000 ${address6}`, datagram),
  'segment routing header': over6(43, `1102 0401 01000000 ${address6}`, datagram),
  'first fragment': over6(44, '1100 0001 00000005', datagram),
  'later fragment': over6(44, '1100 0008 00000005', datagram),
  'fragment of TCP': over6(44, '0600 0001 00000005', syn),
  'no next header': over6(59, ''),
  'IPv6 of an unknown protocol': over6(253, '00000000'),
  'hop-by-hop options that are too short': over6(0, '11'),
  'SCTP over IPv6': over6(132, '0001 0002 00000000 00000000 0b 00 0004'),
  'IPv6 that says it is longer': changed(over6(17, '', datagram), (bytes) =>
    bytes.writeUInt16BE(100, ipv4Header + 4),
  ),
  'IPv6 without a length': changed(over6(17, '', datagram), (bytes) =>
    bytes.writeUInt16BE(0, ipv4Header + 4),
  ),
  'IPv4 in IPv6 frame type': eth('86dd', Buffer.concat([packet4, zeros(20)])),
  'IPv6 in IPv4 frame type': eth('0800', packet6),
  'version 5 as IPv6': changed(over6(17, '', datagram), (bytes) => bytes.writeUInt8(0x50, ipv4Header)),
  'version 5 as IPv4': changed(over4(17, '', datagram), (bytes) => bytes.writeUInt8(0x55, ipv4Header)),

  'first fragment of IPv4': changed(over4(17, '', datagram), (bytes) =>
    bytes.writeUInt16BE(0x2000, ipv4Header + 6),
  ),
  'first fragment of a longer datagram': changed(over4(17, '', datagram), (bytes) => {
    bytes.writeUInt16BE(0x2000, ipv4Header + 6)
    bytes.writeUInt16BE(400, ipv4Payload + 4)
  }),
  'UDP that is too short': over4(17, '0001 0002 00'),
  'UDP without ports': over4(17, '0001 00'),
  'UDP of length 0': changed(over4(17, '', datagram), (bytes) => bytes.writeUInt16BE(0, ipv4Payload + 4)),
  'UDP that says it is longer': changed(over4(17, '', datagram), (bytes) =>
    bytes.writeUInt16BE(100, ipv4Payload + 4),
  ),
  'TCP without ports': over4(6, '0001 00'),
  'TCP that is too short': over4(6, '0001 0002 00000003 0000'),
  'IPv4 header that is too short': changed(over4(17, '', datagram), (bytes) =>
    bytes.writeUInt8(0x42, ipv4Header),
  ),
  'IPv4 header longer than the packet': changed(over4(17, ''), (bytes) => bytes.writeUInt8(0x4f, ipv4Header)),
  'IPv4 that says it is longer': changed(over4(17, '', datagram), (bytes) =>
    bytes.writeUInt16BE(60000, ipv4Header + 2),
  ),
  'IPv4 without a length': changed(over4(17, '', datagram), (bytes) =>
    bytes.writeUInt16BE(0, ipv4Header + 2),
  ),
  'IPv4 shorter than its header': changed(over4(17, '', datagram), (bytes) =>
    bytes.writeUInt16BE(10, ipv4Header + 2),
  ),
  'IPv4 with nothing': over4(255, '1001 0000'),
  'IPv4, protocol 0': over4(0, '1001 0000'),

  'SCTP without chunks': sctp(''),
  'SCTP data': sctp('00 03 0014 00000001 0000 0000 00000000 61626364'),
  'SCTP init': sctp('01 00 0014 00000001 00010000 000a 000a 00000005'),
  'SCTP init ack': sctp('02 00 0014 00000001 00010000 000a 000a 00000005'),
  'SCTP sack': sctp('03 00 0010 00000001 00010000 0000 0000'),
  'SCTP heartbeat and cookie ack': sctp('04 00 0008 00010004 0b 00 0004'),
  'SCTP abort and shutdown': sctp('06 00 0004 07 00 0008 00000001'),
  'SCTP chunk that is unknown': sctp('50 00 0004'),
  ESP: over4(50, '00000001 00000002 01020304'),
  'ESP over IPv6': over6(50, '00000001 00000002 01020304'),
  'ESP that is too short': over4(50, '0000'),
  AH: over4(51, `11 04 0000 00000001 00000002 ${check}`, datagram),
  'AH over IPv6': over6(51, `11 04 0000 00000001 00000002 ${check}`, datagram),
  IPComp: over4(108, '1100 0001 0000'),

  'IPv4 in IPv4': over4(4, '', packet4),
  'IPv4 in IPv4 in IPv4': over4(4, '', ip4(4, packet4)),
  'IPv6 in IPv4': over4(41, '', packet6),
  'IPv6 in IPv6': over6(41, '', packet6),
  'IPv4 in IPv6': over6(4, '', packet4),
  GRE: over4(47, '0000 0800', packet4),
  'GRE over IPv6': over6(47, '0000 0800', packet4),
  'GRE with checksum, key and sequence': over4(47, 'b000 0800 00000000 00000007 00000009', packet4),
  'GRE with Ethernet': over4(47, '0000 6558', eth('0800', packet4)),
  'GRE with IPv6': over4(47, '0000 86dd', packet6),
  'GRE with MPLS': over4(47, '0000 8847 00010140', packet4),
  'GRE with what is unknown': over4(47, '0000 1234 00'),
  'GRE that is too short': over4(47, '2000 0800'),
  VXLAN: over4(17, '', udp(1000, 4789, Buffer.concat([h('08000000 00002a00'), eth('0800', packet4)]))),
  'VXLAN with ARP': over4(
    17,
    '',
    udp(
      1000,
      4789,
      Buffer.concat([
        h('08000000 00002a00'),
        eth('0806', '0001 0800 06 04 0001 020000000001 0a000001 000000000000 0a000002'),
      ]),
    ),
  ),
  'VXLAN without its flag': over4(
    17,
    '',
    udp(1000, 4789, Buffer.concat([h('00000000 00002a00'), eth('0800', packet4)])),
  ),
  'VXLAN that is too short': over4(17, '', udp(1000, 4789, h('0800'))),
  Geneve: over4(17, '', udp(1000, 6081, Buffer.concat([h('0000 6558 00002a00'), eth('0800', packet4)]))),
  MPLS: frame('8847', '00010140', packet4),
  'MPLS, two labels': frame('8847', '00010040 00011140', packet4),
  'MPLS with IPv6': frame('8848', '00002140', packet6),
  'MPLS with what is no IP': frame('8847', '00010140 90000000'),
  'MPLS that is too short': frame('8847', '0001'),
  'PPPoE discovery': frame('8863', '11 09 0000 0008 0101 0000 0103 0000'),
  'PPPoE offer': frame('8863', '11 07 0000 0010 0101 0000 0102 0003 616263 0103 0001 05'),
  'PPPoE session': frame('8863', '11 65 0001 0004 0101 0000'),
  'PPPoE end': frame('8863', '11 a7 0001 0000'),
  'PPPoE with IPv4': frame('8864', '1100 0001 0022 0021', packet4),
  'PPPoE with IPv6': frame('8864', '1100 0001 0036 0057', packet6),
  'PPPoE with what is unknown': frame('8864', '1100 0001 0006 1234 01 01 0004'),
  'EtherType that is unknown behind a tag': frame('8100', '0005 88b5 0102'),
  'RoCE v1': frame('8915', `6000 0000 0000 0000 ${'00'.repeat(43)}`),
}
