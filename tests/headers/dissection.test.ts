/** Every field that is written, against tshark's reading and the library's own. */
import { arp, EtherType, ethernet, IpProtocol, icmp, ipv4, ipv6, tcp, udp, vlan } from 'ibverbs/ethernet'
import { expect, test } from 'vitest'
import { Random } from '../beds/random.js'
import { dissect, numbers } from './tshark.js'

const count = 40
/** Neither the array's beginning nor an even offset. */
const at = 33

function frames<T>(seed: number, make: (random: Random, bytes: Uint8Array) => { end: number; row: T }) {
  const random = new Random(seed)
  return Array.from({ length: count }, () => {
    const bytes = random.bytes(1600)
    const { end, row } = make(random, bytes)
    return { bytes, frame: bytes.slice(at, end), end, row }
  })
}

const station = (random: Random) => random.mac()
/** A host address: tshark complains about others, and uses other fields for them. */
const host = (random: Random) => (10 * 2 ** 24 + random.integer(1, 0xfffffe)) >>> 0
function host6(random: Random): Uint8Array {
  const address = random.bytes(16)
  address.set([0x20, 0x01, 0x0d, 0xb8])
  return address
}

test('Ethernet', () => {
  const made = frames(1, (random, bytes) => {
    const [to, from, type] = [random.mac(), random.mac(), random.pick([0x88b5, 0x88b6])]
    const next = ethernet.write(bytes, at, to, from, type)
    expect(next).toBe(at + ethernet.headerLength)
    return {
      end: next + 46,
      row: { 'eth.dst': ethernet.format(to), 'eth.src': ethernet.format(from), 'eth.type': type },
    }
  })
  const rows = dissect(
    made.map(({ frame }) => frame),
    ['eth.dst', 'eth.src', 'eth.type'],
  )
  for (const [i, { row, bytes, end }] of made.entries()) {
    expect({ ...rows[i], 'eth.type': Number(rows[i]['eth.type']) }).toEqual(row)
    expect(ethernet.isValid(bytes, at, end)).toBe(true)
    expect({
      'eth.dst': ethernet.format(bytes, at + ethernet.destinationOffset),
      'eth.src': ethernet.format(bytes, at + ethernet.sourceOffset),
      'eth.type': ethernet.etherType(bytes, at),
    }).toEqual(row)
  }
})

test('VLAN, one tag', () => {
  const made = frames(2, (random, bytes) => {
    const [id, priority, dei] = [random.integer(0, 4095), random.integer(0, 7), random.integer(0, 1)]
    const tag = ethernet.write(bytes, at, station(random), station(random), EtherType.vlan)
    const next = vlan.write(bytes, tag, vlan.controlOf(id, priority, dei), 0x88b5)
    return {
      end: next + 46,
      row: { 'vlan.id': id, 'vlan.priority': priority, 'vlan.dei': dei, 'vlan.etype': 0x88b5 },
    }
  })
  const rows = dissect(
    made.map(({ frame }) => frame),
    ['vlan.id', 'vlan.priority', 'vlan.dei', 'vlan.etype'],
  )
  for (const [i, { row, bytes, end }] of made.entries()) {
    expect(numbers(rows[i])).toEqual(row)
    const tag = at + ethernet.headerLength
    expect(vlan.isValid(bytes, tag, end)).toBe(true)
    expect({
      'vlan.id': vlan.id(bytes, tag),
      'vlan.priority': vlan.priority(bytes, tag),
      'vlan.dei': vlan.dropEligible(bytes, tag),
      'vlan.etype': vlan.etherType(bytes, tag),
    }).toEqual(row)
    expect(vlan.payload(bytes, at, end)).toBe(tag + 4)
    expect(vlan.payloadType(bytes, tag + 4)).toBe(0x88b5)
  }
})

test('ARP', () => {
  const made = frames(3, (random, bytes) => {
    const [senderMac, targetMac] = [random.mac(), random.mac()]
    const [sender, target, operation] = [random.u32(), random.u32(), random.integer(1, 2)]
    const packet = ethernet.write(bytes, at, targetMac, senderMac, EtherType.arp)
    const end = arp.write(bytes, packet, operation, senderMac, sender, targetMac, target)
    expect(end).toBe(packet + arp.headerLength)
    return {
      end,
      row: {
        'arp.hw.type': '1',
        'arp.proto.type': '0x0800',
        'arp.hw.size': '6',
        'arp.proto.size': '4',
        'arp.opcode': String(operation),
        'arp.src.hw_mac': ethernet.format(senderMac),
        'arp.src.proto_ipv4': ipv4.format(sender),
        'arp.dst.hw_mac': ethernet.format(targetMac),
        'arp.dst.proto_ipv4': ipv4.format(target),
      },
    }
  })
  const fields = Object.keys(made[0].row) as (keyof (typeof made)[0]['row'])[]
  const rows = dissect(
    made.map(({ frame }) => frame),
    fields,
  )
  for (const [i, { row, bytes, end }] of made.entries()) {
    expect(rows[i]).toEqual(row)
    const packet = at + ethernet.headerLength
    expect(arp.isValid(bytes, packet, end)).toBe(true)
    expect({
      'arp.hw.type': String(arp.hardwareType(bytes, packet)),
      'arp.proto.type': `0x${arp.protocolType(bytes, packet).toString(16).padStart(4, '0')}`,
      'arp.hw.size': String(arp.hardwareLength(bytes, packet)),
      'arp.proto.size': String(arp.protocolLength(bytes, packet)),
      'arp.opcode': String(arp.operation(bytes, packet)),
      'arp.src.hw_mac': ethernet.format(bytes, packet + arp.senderMacOffset),
      'arp.src.proto_ipv4': ipv4.format(arp.senderIp(bytes, packet)),
      'arp.dst.hw_mac': ethernet.format(bytes, packet + arp.targetMacOffset),
      'arp.dst.proto_ipv4': ipv4.format(arp.targetIp(bytes, packet)),
    }).toEqual(row)
  }
})

test('IPv4', () => {
  const made = frames(4, (random, bytes) => {
    const packet = ethernet.write(bytes, at, station(random), station(random), EtherType.ipv4)
    const [source, destination, length] = [host(random), host(random), random.integer(0, 1400)]
    const [ttl, identification, traffic] = [random.integer(1, 255), random.u16(), random.u8()]
    const flags = random.integer(0, 3)
    // 253 and 254 are for experiments (RFC 3692): tshark does not dissect their payload.
    const protocol = random.pick([253, 254])
    const next = ipv4.write(
      bytes,
      packet,
      length,
      protocol,
      source,
      destination,
      ttl,
      identification,
      flags,
      traffic,
    )
    const offset = random.integer(0, 0x1fff) * 8
    ipv4.setFragmentOffset(bytes, packet, offset)
    ipv4.writeChecksum(bytes, packet)
    return {
      end: next + length,
      row: {
        'ip.version': 4,
        'ip.hdr_len': 20,
        'ip.dsfield.dscp': traffic >> 2,
        'ip.dsfield.ecn': traffic & 3,
        'ip.len': 20 + length,
        'ip.id': identification,
        'ip.flags.df': flags >> 1,
        'ip.flags.mf': flags & 1,
        // the field itself, in units of eight bytes
        'ip.frag_offset': offset / 8,
        'ip.ttl': ttl,
        'ip.proto': protocol,
        'ip.checksum': ipv4.checksum(bytes, packet),
        'ip.checksum.status': 1,
        'ip.src': ipv4.format(source),
        'ip.dst': ipv4.format(destination),
      },
    }
  })
  const fields = Object.keys(made[0].row) as (keyof (typeof made)[0]['row'])[]
  const rows = dissect(
    made.map(({ frame }) => frame),
    fields,
  )
  for (const [i, { row, bytes, end }] of made.entries()) {
    expect({
      ...numbers(rows[i]),
      'ip.src': rows[i]['ip.src'],
      'ip.dst': rows[i]['ip.dst'],
    }).toEqual(row)
    const packet = at + ethernet.headerLength
    expect(ipv4.isValid(bytes, packet, end)).toBe(true)
    expect(ipv4.packetEnd(bytes, packet)).toBe(end)
    expect(ipv4.verifyChecksum(bytes, packet)).toBe(true)
    expect(ipv4.isFragment(bytes, packet)).toBe(row['ip.frag_offset'] > 0 || row['ip.flags.mf'] === 1)
    expect({
      'ip.version': ipv4.version(bytes, packet),
      'ip.hdr_len': ipv4.headerLength(bytes, packet),
      'ip.dsfield.dscp': ipv4.dscp(bytes, packet),
      'ip.dsfield.ecn': ipv4.ecn(bytes, packet),
      'ip.len': ipv4.totalLength(bytes, packet),
      'ip.id': ipv4.identification(bytes, packet),
      'ip.flags.df': ipv4.flags(bytes, packet) & ipv4.Flag.dontFragment ? 1 : 0,
      'ip.flags.mf': ipv4.flags(bytes, packet) & ipv4.Flag.moreFragments ? 1 : 0,
      'ip.frag_offset': ipv4.fragmentOffset(bytes, packet) / 8,
      'ip.ttl': ipv4.ttl(bytes, packet),
      'ip.proto': ipv4.protocol(bytes, packet),
      'ip.checksum': ipv4.checksum(bytes, packet),
      'ip.checksum.status': 1,
      'ip.src': ipv4.format(ipv4.source(bytes, packet)),
      'ip.dst': ipv4.format(ipv4.destination(bytes, packet)),
    }).toEqual(row)
  }
})

test('IPv6', () => {
  const made = frames(5, (random, bytes) => {
    const packet = ethernet.write(bytes, at, station(random), station(random), EtherType.ipv6)
    const [source, destination, length] = [host6(random), host6(random), random.integer(0, 1400)]
    const [hops, traffic, flow] = [random.u8(), random.u8(), random.integer(0, 0xfffff)]
    const next = ipv6.write(bytes, packet, length, 253, source, destination, hops, traffic, flow)
    return {
      end: next + length,
      row: {
        'ipv6.version': 6,
        'ipv6.tclass.dscp': traffic >> 2,
        'ipv6.tclass.ecn': traffic & 3,
        'ipv6.flow': flow,
        'ipv6.plen': length,
        'ipv6.nxt': 253,
        'ipv6.hlim': hops,
        'ipv6.src': ipv6.format(source),
        'ipv6.dst': ipv6.format(destination),
      },
    }
  })
  const fields = Object.keys(made[0].row) as (keyof (typeof made)[0]['row'])[]
  const rows = dissect(
    made.map(({ frame }) => frame),
    fields,
  )
  for (const [i, { row, bytes, end }] of made.entries()) {
    expect({
      ...numbers(rows[i]),
      'ipv6.src': rows[i]['ipv6.src'],
      'ipv6.dst': rows[i]['ipv6.dst'],
    }).toEqual(row)
    const packet = at + ethernet.headerLength
    expect(ipv6.isValid(bytes, packet, end)).toBe(true)
    expect(ipv6.packetEnd(bytes, packet)).toBe(end)
    expect(ipv6.trafficClass(bytes, packet)).toBe(row['ipv6.tclass.dscp'] * 4 + row['ipv6.tclass.ecn'])
    expect({
      'ipv6.version': ipv6.version(bytes, packet),
      'ipv6.tclass.dscp': ipv6.dscp(bytes, packet),
      'ipv6.tclass.ecn': ipv6.ecn(bytes, packet),
      'ipv6.flow': ipv6.flowLabel(bytes, packet),
      'ipv6.plen': ipv6.payloadLength(bytes, packet),
      'ipv6.nxt': ipv6.nextHeader(bytes, packet),
      'ipv6.hlim': ipv6.hopLimit(bytes, packet),
      'ipv6.src': ipv6.format(bytes, packet + ipv6.sourceOffset),
      'ipv6.dst': ipv6.format(bytes, packet + ipv6.destinationOffset),
    }).toEqual(row)
  }
})

/** Ethernet and IP of a random version; returns where the upper layer begins. */
function network(random: Random, bytes: Uint8Array, length: number, protocol: number, six: boolean): number {
  const type = six ? EtherType.ipv6 : EtherType.ipv4
  const packet = ethernet.write(bytes, at, station(random), station(random), type)
  return six
    ? ipv6.write(bytes, packet, length, protocol, host6(random), host6(random))
    : ipv4.write(bytes, packet, length, protocol, host(random), host(random))
}
const ip = at + ethernet.headerLength

/** Ports that none of tshark's dissectors claims. */
const port = (random: Random) => random.integer(61000, 65000)

test('UDP over IPv4 and IPv6', () => {
  const made = frames(6, (random, bytes) => {
    const [from, to, length] = [port(random), port(random), random.integer(0, 1400)]
    const datagram = network(random, bytes, 8 + length, IpProtocol.udp, random.u8() > 127)
    const end = udp.write(bytes, datagram, from, to, length) + length
    udp.writeChecksum(bytes, datagram, ip)
    const row = {
      'udp.srcport': from,
      'udp.dstport': to,
      'udp.length': 8 + length,
      'udp.checksum': udp.checksum(bytes, datagram),
      'udp.checksum.status': 1,
    }
    expect(udp.isValid(bytes, datagram, end)).toBe(true)
    expect(udp.verifyChecksum(bytes, datagram, ip)).toBe(true)
    expect(udp.payload(bytes, datagram)).toBe(end - length)
    expect(udp.payloadEnd(bytes, datagram)).toBe(end)
    expect({
      'udp.srcport': udp.sourcePort(bytes, datagram),
      'udp.dstport': udp.destinationPort(bytes, datagram),
      'udp.length': udp.length(bytes, datagram),
      'udp.checksum': udp.checksum(bytes, datagram),
      'udp.checksum.status': 1,
    }).toEqual(row)
    return { end, row }
  })
  const rows = dissect(
    made.map(({ frame }) => frame),
    Object.keys(made[0].row) as (keyof (typeof made)[0]['row'])[],
  )
  expect(rows.map(numbers)).toEqual(made.map(({ row }) => row))
})

test('TCP over IPv4 and IPv6, with options', () => {
  const made = frames(7, (random, bytes) => {
    const [from, to, length] = [port(random), port(random), random.integer(0, 1400)]
    const [sequence, acknowledgment, flags] = [random.u32(), random.u32(), random.u8()]
    const [window, urgent, segmentSize] = [random.u16(), random.u16(), random.u16()]
    const segment = network(random, bytes, 32 + length, IpProtocol.tcp, random.u8() > 127)
    const options = tcp.write(bytes, segment, from, to, sequence, acknowledgment, flags, window, urgent)
    const shift = random.integer(0, 14)
    const scale = [3, 3, shift, tcp.Option.noOperation]
    bytes.set([1, 1, 2, 4, segmentSize >> 8, segmentSize & 255, 4, 2, ...scale], options)
    tcp.setHeaderLength(bytes, segment, 32)
    tcp.writeChecksum(bytes, segment, ip)
    const end = tcp.payload(bytes, segment) + length
    expect(tcp.isValid(bytes, segment, end)).toBe(true)
    expect(tcp.verifyChecksum(bytes, segment, ip)).toBe(true)
    const mss = tcp.option(bytes, segment, tcp.Option.maximumSegmentSize)
    expect(mss).toBe(options + 2)
    expect(tcp.option(bytes, segment, tcp.Option.windowScale)).toBe(options + 8)
    expect(tcp.option(bytes, segment, tcp.Option.selectiveAcknowledgmentPermitted)).toBe(options + 6)
    expect(tcp.option(bytes, segment, tcp.Option.timestamps)).toBe(-1)
    const row = {
      'tcp.srcport': from,
      'tcp.dstport': to,
      'tcp.seq_raw': sequence,
      'tcp.ack_raw': acknowledgment,
      'tcp.hdr_len': 32,
      'tcp.flags': flags,
      'tcp.flags.fin': flags & tcp.Flag.fin ? 1 : 0,
      'tcp.flags.syn': flags & tcp.Flag.syn ? 1 : 0,
      'tcp.flags.reset': flags & tcp.Flag.rst ? 1 : 0,
      'tcp.flags.push': flags & tcp.Flag.psh ? 1 : 0,
      'tcp.flags.ack': flags & tcp.Flag.ack ? 1 : 0,
      'tcp.flags.urg': flags & tcp.Flag.urg ? 1 : 0,
      'tcp.flags.ece': flags & tcp.Flag.ece ? 1 : 0,
      'tcp.flags.cwr': flags & tcp.Flag.cwr ? 1 : 0,
      'tcp.window_size_value': window,
      'tcp.checksum': tcp.checksum(bytes, segment),
      'tcp.checksum.status': 1,
      'tcp.urgent_pointer': urgent,
      'tcp.options.mss_val': segmentSize,
      'tcp.options.wscale.shift': shift,
    }
    expect([tcp.sourcePort(bytes, segment), tcp.destinationPort(bytes, segment)]).toEqual([from, to])
    expect([tcp.sequence(bytes, segment), tcp.acknowledgment(bytes, segment)]).toEqual([
      sequence,
      acknowledgment,
    ])
    expect([tcp.flags(bytes, segment), tcp.window(bytes, segment)]).toEqual([flags, window])
    expect(tcp.urgentPointer(bytes, segment)).toBe(urgent)
    return { end, row }
  })
  const rows = dissect(
    made.map(({ frame }) => frame),
    Object.keys(made[0].row) as (keyof (typeof made)[0]['row'])[],
  )
  expect(rows.map(numbers)).toEqual(made.map(({ row }) => row))
})

test('ICMP echoes, and their replies made in place', () => {
  const made = frames(8, (random, bytes) => {
    const [identifier, sequence, length] = [random.u16(), random.u16(), random.integer(0, 1400)]
    const message = network(random, bytes, 8 + length, IpProtocol.icmp, false)
    const end = icmp.writeEcho(bytes, message, icmp.Type.echoRequest, identifier, sequence) + length
    icmp.writeChecksum(bytes, message, ip)
    expect(icmp.verifyChecksum(bytes, message, ip)).toBe(true)
    const reply = random.u8() > 127
    if (reply) {
      expect(icmp.toEchoReply(bytes, message)).toBe(true)
      expect(icmp.toEchoReply(bytes, message)).toBe(false)
    }
    expect(icmp.isValid(bytes, message, end)).toBe(true)
    expect([icmp.identifier(bytes, message), icmp.sequence(bytes, message)]).toEqual([identifier, sequence])
    return {
      end,
      row: {
        'icmp.type': reply ? 0 : 8,
        'icmp.code': 0,
        'icmp.checksum': icmp.checksum(bytes, message),
        'icmp.checksum.status': 1,
        'icmp.ident': identifier,
        'icmp.seq': sequence,
      },
    }
  })
  const rows = dissect(
    made.map(({ frame }) => frame),
    Object.keys(made[0].row) as (keyof (typeof made)[0]['row'])[],
  )
  expect(rows.map(numbers)).toEqual(made.map(({ row }) => row))
})

test('ICMPv6 echoes behind extension headers, and their replies made in place', () => {
  const made = frames(9, (random, bytes) => {
    const [identifier, sequence, length] = [random.u16(), random.u16(), random.integer(0, 1000)]
    const extension = network(random, bytes, 16 + 8 + length, IpProtocol.destinationOptions, true)
    // PadN over all of it (RFC 8200, 4.2)
    bytes.set([IpProtocol.icmp6, 1, 1, 12, ...new Uint8Array(12)], extension)
    const message = ipv6.payload(bytes, ip)
    expect(message).toBe(extension + 16)
    expect(ipv6.protocol(bytes, ip)).toBe(IpProtocol.icmp6)
    expect(ipv6.isFragment(bytes, ip)).toBe(false)
    const end = icmp.writeEcho(bytes, message, icmp.Type6.echoRequest, identifier, sequence) + length
    icmp.writeChecksum(bytes, message, ip)
    expect(icmp.verifyChecksum(bytes, message, ip)).toBe(true)
    const reply = random.u8() > 127
    if (reply) expect(icmp.toEchoReply(bytes, message)).toBe(true)
    return {
      end,
      row: {
        'ipv6.dstopts.nxt': 58,
        'icmpv6.type': reply ? 129 : 128,
        'icmpv6.code': 0,
        'icmpv6.checksum': icmp.checksum(bytes, message),
        'icmpv6.checksum.status': 1,
        'icmpv6.echo.identifier': identifier,
        'icmpv6.echo.sequence_number': sequence,
      },
    }
  })
  const rows = dissect(
    made.map(({ frame }) => frame),
    Object.keys(made[0].row) as (keyof (typeof made)[0]['row'])[],
  )
  expect(rows.map(numbers)).toEqual(made.map(({ row }) => row))
})
