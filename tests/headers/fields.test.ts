/** Every setter: its value is read back, at its bounds too, and no other field changes. */
import { arp, ethernet, gre, icmp, ipv4, ipv6, tcp, udp, vlan, vxlan } from 'ibverbs/ethernet'
import { expect, test } from 'vitest'
import { Random } from '../beds/random.js'

type Functions = Record<string, unknown>
type Get = (bytes: Uint8Array, at: number) => number
type Set = (bytes: Uint8Array, at: number, value: number) => void

/** Bits of each field, or bits and the unit of its values. */
const fields: Record<string, [Functions, Record<string, number | [number, number]>]> = {
  ethernet: [ethernet, { etherType: 16 }],
  vlan: [vlan, { id: 12, priority: 3, dropEligible: 1, etherType: 16 }],
  arp: [arp, { operation: 16, senderIp: 32, targetIp: 32 }],
  ipv4: [
    ipv4,
    {
      dscp: 6,
      ecn: 2,
      totalLength: 16,
      identification: 16,
      flags: 3,
      fragmentOffset: [13, 8],
      ttl: 8,
      protocol: 8,
      checksum: 16,
      source: 32,
      destination: 32,
    },
  ],
  ipv6: [ipv6, { dscp: 6, ecn: 2, flowLabel: 20, payloadLength: 16, nextHeader: 8, hopLimit: 8 }],
  udp: [udp, { sourcePort: 16, destinationPort: 16, length: 16, checksum: 16 }],
  tcp: [
    tcp,
    {
      sourcePort: 16,
      destinationPort: 16,
      sequence: 32,
      acknowledgment: 32,
      headerLength: [4, 4],
      flags: 8,
      window: 16,
      checksum: 16,
      urgentPointer: 16,
    },
  ],
  icmp: [icmp, { type: 8, code: 8, checksum: 16, identifier: 16, sequence: 16 }],
  vxlan: [vxlan, { flags: 8, networkIdentifier: 24 }],
}

test.each(Object.entries(fields))('%s', (_name, [functions, widths]) => {
  const random = new Random(99)
  const names = Object.keys(widths)
  const setter = (name: string) => functions[`set${name[0].toUpperCase()}${name.slice(1)}`] as Set
  const read = (bytes: Uint8Array, at: number) =>
    Object.fromEntries(names.map((name) => [name, (functions[name] as Get)(bytes, at)]))
  for (const name of names) {
    const width = widths[name]
    const [bits, unit] = typeof width === 'number' ? [width, 1] : width
    for (let i = 0; i < 50; i++) {
      const bytes = random.bytes(80)
      const at = random.integer(0, 20)
      const before = read(bytes, at)
      const outside = [...bytes.slice(0, at), ...bytes.slice(at + 40)]
      const value = (i === 0 ? 0 : i === 1 ? 2 ** bits - 1 : random.u32() % 2 ** bits) * unit
      setter(name)(bytes, at, value)
      expect(read(bytes, at)).toEqual({ ...before, [name]: value })
      expect([...bytes.slice(0, at), ...bytes.slice(at + 40)]).toEqual(outside)
    }
  }
})

test('fields that hold others: tag control, traffic class, the last four bytes of ICMP', () => {
  const bytes = new Random(5).bytes(60)
  vlan.setControl(bytes, 3, vlan.controlOf(0xabc, 5, 1))
  expect(vlan.control(bytes, 3)).toBe(0xbabc)
  expect([vlan.id(bytes, 3), vlan.priority(bytes, 3), vlan.dropEligible(bytes, 3)]).toEqual([0xabc, 5, 1])
  const flow = ipv6.flowLabel(bytes, 3)
  ipv6.setTrafficClass(bytes, 3, 0xb7)
  expect([ipv6.trafficClass(bytes, 3), ipv6.dscp(bytes, 3), ipv6.ecn(bytes, 3)]).toEqual([0xb7, 0x2d, 3])
  expect(ipv6.flowLabel(bytes, 3)).toBe(flow)
  icmp.setRest(bytes, 3, 0xfffefdfc)
  expect([icmp.rest(bytes, 3), icmp.identifier(bytes, 3), icmp.sequence(bytes, 3)]).toEqual([
    0xfffefdfc, 0xfffe, 0xfdfc,
  ])
})

test.each([0, 1, 2, 3, 4, 5, 6, 7])('GRE with the options of case %i', (options) => {
  const flags =
    (options & 1 ? gre.Flag.checksum : 0) |
    (options & 2 ? gre.Flag.key : 0) |
    (options & 4 ? gre.Flag.sequence : 0)
  const bytes = new Uint8Array(40).fill(0xaa)
  const end = gre.write(bytes, 5, flags, 0x0800, 0xfedcba98, 0x89abcdef)
  const count = [options & 1, options & 2, options & 4].filter(Boolean).length
  expect(end).toBe(5 + 4 + 4 * count)
  expect(bytes.slice(end).every((byte) => byte === 0xaa)).toBe(true)
  expect(gre.flags(bytes, 5)).toBe(flags)
  expect(gre.payload(bytes, 5)).toBe(end)
  expect(gre.protocol(bytes, 5)).toBe(0x0800)
  expect(gre.key(bytes, 5)).toBe(options & 2 ? 0xfedcba98 : 0)
  expect(gre.sequence(bytes, 5)).toBe(options & 4 ? 0x89abcdef : 0)
  gre.setKey(bytes, 5, 7)
  gre.setSequence(bytes, 5, 9)
  gre.setProtocol(bytes, 5, 0x86dd)
  expect([gre.key(bytes, 5), gre.sequence(bytes, 5)]).toEqual([options & 2 ? 7 : 0, options & 4 ? 9 : 0])
  expect(gre.protocol(bytes, 5)).toBe(0x86dd)
  gre.writeChecksum(bytes, 5, 40)
  expect(gre.verifyChecksum(bytes, 5, 40)).toBe(true)
  bytes[39] ^= 1
  expect(gre.verifyChecksum(bytes, 5, 40)).toBe(!(options & 1))
  expect(bytes.slice(0, 5).every((byte) => byte === 0xaa)).toBe(true)
})

test('Ethernet addresses: copied, compared, swapped, classified', () => {
  const [a, b] = [ethernet.parse('02:11:22:33:44:55'), ethernet.parse('fe:dc:ba:98:76:54')]
  const bytes = new Uint8Array(30)
  expect(ethernet.write(bytes, 3, a, b, 0x88b5)).toBe(17)
  expect(ethernet.equalAddress(bytes, 3 + ethernet.destinationOffset, a, 0)).toBe(true)
  expect(ethernet.equalAddress(bytes, 3 + ethernet.destinationOffset, b, 0)).toBe(false)
  ethernet.swapAddresses(bytes, 3)
  expect(ethernet.format(bytes, 3)).toBe('fe:dc:ba:98:76:54')
  expect(ethernet.format(bytes, 3 + ethernet.sourceOffset)).toBe('02:11:22:33:44:55')
  expect(ethernet.etherType(bytes, 3)).toBe(0x88b5)
  expect([ethernet.addressHigh(bytes, 3), ethernet.addressLow(bytes, 3)]).toEqual([0xfedc, 0xba987654])
  ethernet.setAddress(bytes, 3, 0x0201, 0xfffefdfc)
  expect(ethernet.format(bytes, 3)).toBe('02:01:ff:fe:fd:fc')
  ethernet.copyAddress(bytes, 3, a, 0)
  ethernet.setSource(bytes, 3, bytes, 3)
  expect(ethernet.format(bytes, 9)).toBe('02:11:22:33:44:55')
  ethernet.setDestination(bytes, 3, Uint8Array.of(0, 255, 255, 255, 255, 255, 255), 1)
  expect([ethernet.isBroadcast(bytes, 3), ethernet.isMulticast(bytes, 3)]).toEqual([true, true])
  expect([ethernet.isBroadcast(bytes, 9), ethernet.isMulticast(bytes, 9)]).toEqual([false, false])
  expect([ethernet.isLength(1500), ethernet.isLength(0x600)]).toEqual([true, false])
})

test('an ARP request becomes its reply', () => {
  const [asker, answerer] = [ethernet.parse('02:00:00:00:00:01'), ethernet.parse('02:00:00:00:00:02')]
  const bytes = new Uint8Array(28)
  arp.write(bytes, 0, arp.Operation.request, asker, 0x0a000001, new Uint8Array(6), 0xfa000002)
  arp.toReply(bytes, 0, answerer)
  const reply = new Uint8Array(28)
  arp.write(reply, 0, arp.Operation.reply, answerer, 0xfa000002, asker, 0x0a000001)
  expect(bytes).toEqual(reply)
  arp.setSenderMac(bytes, 0, asker)
  arp.setTargetMac(bytes, 0, answerer)
  expect(ethernet.format(bytes, arp.senderMacOffset)).toBe('02:00:00:00:00:01')
  expect(ethernet.format(bytes, arp.targetMacOffset)).toBe('02:00:00:00:00:02')
})
