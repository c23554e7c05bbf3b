/** Random flow rules and frames, and a plain reference of what a rule matches. */
import { BlockList } from 'node:net'
import type { FlowBytes, FlowRule, PortRange } from 'ibverbs/ethernet'
import { Random } from '../beds/random.js'

const protocols: Record<string, number> = { icmp: 1, tcp: 6, udp: 17, gre: 47, icmp6: 58, sctp: 132 }
const tagTypes = [0x8100, 0x88a8, 0x9100]

const number = (bytes: Uint8Array, at: number, size: number): number =>
  bytes.subarray(at, at + size).reduce((sum, byte) => sum * 256 + byte, 0)
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

/** Whether the rule matches a frame; with `tag`, one whose outer tag of type `outer` (802.1Q by default) was stripped. */
export function matches(rule: FlowRule, frame: Uint8Array, tag?: number, outer = 0x8100): boolean {
  if (frame.length < 14) return false
  const ids = tag === undefined ? [] : [tag & 0xfff]
  let at = 12
  let announced = tag === undefined ? undefined : outer
  while (ids.length < 2 && tagTypes.includes(number(frame, at, 2)) && frame.length >= at + 6) {
    announced ??= number(frame, at, 2)
    ids.push(number(frame, at + 2, 2) & 0xfff)
    at += 4
  }
  const type = number(frame, at, 2)
  const packet = frame.subarray(at + 2)

  if (rule.destinationMac !== undefined && mac(rule.destinationMac) !== hex(frame.subarray(0, 6)))
    return false
  if (rule.sourceMac !== undefined && mac(rule.sourceMac) !== hex(frame.subarray(6, 12))) return false
  if (rule.etherType !== undefined) {
    const its = tagTypes.includes(rule.etherType) ? announced : type
    if (rule.etherType !== its) return false
  }
  if (rule.vlan === 'none' && ids.length > 0) return false
  if (typeof rule.vlan === 'number' && rule.vlan !== ids[0]) return false

  const ip = ipOf(type, packet)
  if (rule.source !== undefined && !(ip && inside(rule.source, ip.source))) return false
  if (rule.destination !== undefined && !(ip && inside(rule.destination, ip.destination))) return false
  if (rule.protocol !== undefined) {
    const wanted = typeof rule.protocol === 'number' ? rule.protocol : protocols[rule.protocol]
    if (ip?.protocol !== wanted) return false
  }
  for (const [range, place] of [
    [rule.sourcePort, 0],
    [rule.destinationPort, 2],
  ] as [PortRange | undefined, number][]) {
    if (range === undefined) continue
    if (!ip?.payload || ip.payload.length < place + 2) return false
    const { from, to } = typeof range === 'number' ? { from: range, to: range } : range
    const port = number(ip.payload, place, 2)
    if (port < from || port > to) return false
  }
  return (rule.bytes ?? []).every(({ from = 'frame', offset, value, mask }) => {
    const layer = { frame, network: packet, transport: ip?.payload }[from]
    if (!layer || layer.length < offset + value.length) return false
    return value.every((byte, i) => (layer[offset + i] & (mask?.[i] ?? 255)) === byte)
  })
}

interface Ip {
  source: string
  destination: string
  protocol: number
  /** undefined where a fragment or a cut header leaves none */
  payload: Uint8Array | undefined
}

function ipOf(type: number, packet: Uint8Array): Ip | undefined {
  if (type === 0x0800) {
    const length = (packet[0] & 15) * 4
    if (packet.length < 20 || packet[0] >> 4 !== 4 || length < 20) return undefined
    const later = (number(packet, 6, 2) & 0x1fff) > 0
    return {
      source: packet.subarray(12, 16).join('.'),
      destination: packet.subarray(16, 20).join('.'),
      protocol: packet[9],
      payload: later || length > packet.length ? undefined : packet.subarray(length),
    }
  }
  if (type !== 0x86dd || packet.length < 40 || packet[0] >> 4 !== 6) return undefined
  const text = (at: number): string =>
    Array.from({ length: 8 }, (_, i) => number(packet, at + i * 2, 2).toString(16)).join(':')
  return { source: text(8), destination: text(24), protocol: packet[6], payload: packet.subarray(40) }
}

function mac(text: unknown): string {
  return typeof text === 'string' ? text.replaceAll(/[:-]/g, '').toLowerCase() : hex(text as Uint8Array)
}

/** Node's own notion of a prefix. */
function inside(prefix: string, address: string): boolean {
  const family = prefix.includes(':') ? 'ipv6' : 'ipv4'
  if (address.includes(':') !== (family === 'ipv6')) return false
  const [network, length] = prefix.split('/')
  const list = new BlockList()
  if (length === undefined) list.addAddress(network, family)
  else if (length === '0') return true
  else list.addSubnet(network, Number(length), family)
  return list.check(address, family)
}

// Few values of each kind, neighbours among them, so that rules and frames often meet and often just miss.
const macs = ['02:00:00:00:00:01', '02:00:00:00:00:02', '02:00:00:00:01:01', '03:00:5e:80:00:01']
const addresses4 = ['10.0.0.1', '10.0.0.2', '10.0.1.1', '10.128.0.1', '203.0.113.255']
const addresses6 = [
  'fe80:0:0:0:0:0:0:1',
  'fe80:0:0:0:0:0:0:2',
  'fe80:0:0:0:8000:0:0:1',
  '2001:db8:ffff:0:0:0:0:1',
]
const ports = [0, 1, 80, 81, 255, 256, 8080, 65534, 65535]
const ids = [0, 5, 6, 261, 4094]

const bytesOf4 = (text: string): number[] => text.split('.').map(Number)
const bytesOf6 = (text: string): number[] =>
  text.split(':').flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 255])
const bytesOfMac = (text: string): number[] => text.split(':').map((part) => Number.parseInt(part, 16))
const word = (value: number): number[] => [value >> 8, value & 255]

/** A frame: plain and odd ones, whole and cut. */
export function randomFrame(random: Random, shortest = 0): Uint8Array {
  const bytes = [...bytesOfMac(random.pick(macs)), ...bytesOfMac(random.pick(macs))]
  for (let tags = random.pick([0, 0, 0, 1, 1, 2, 3]); tags > 0; tags--) {
    bytes.push(...word(random.pick(tagTypes)), ...word((random.below(16) << 12) | random.pick(ids)))
  }
  const kind = random.pick([4, 4, 4, 6, 6, 0])
  const protocol = random.pick([6, 17, 17, 1, 58, 132, 44, 0, 47])
  if (kind === 4) {
    const words = random.chance(0.6) ? 5 : random.below(16)
    const first = ((random.chance(0.95) ? 4 : random.below(16)) << 4) | words
    const fragment = random.pick([0, 0, 0, 0x4000, 0x2000, 1, 0x2100, 0x1fff])
    bytes.push(...word(0x0800), first, 0, ...word(100), ...word(7), ...word(fragment), 64, protocol, 0, 0)
    bytes.push(...bytesOf4(random.pick(addresses4)), ...bytesOf4(random.pick(addresses4)))
    bytes.push(...random.bytes(Math.max(0, words - 5) * 4))
  } else if (kind === 6) {
    const first = random.chance(0.95) ? 0x60 : random.below(256)
    bytes.push(...word(0x86dd), first, 0, 0, 0, ...word(60), protocol, 64)
    bytes.push(...bytesOf6(random.pick(addresses6)), ...bytesOf6(random.pick(addresses6)))
  } else {
    bytes.push(...word(random.pick([0x0806, 0x88b5, 0x88b6, 0x0800, 0x86dd])))
  }
  bytes.push(...word(random.pick(ports)), ...word(random.pick(ports)), ...random.bytes(random.below(60)))
  const whole = Uint8Array.from(bytes)
  const length = random.chance(0.2) ? random.below(whole.length + 1) : whole.length
  if (length >= shortest) return whole.slice(0, length)
  const padded = new Uint8Array(Math.max(shortest, whole.length))
  padded.set(whole)
  return padded
}

function prefix(random: Random, address: number[]): string {
  const length = random.pick(
    [0, 1, 8, 9, 24, 31, 32, 33, 64, 65, 127, 128].filter((n) => n <= address.length * 8),
  )
  const network = address.map((byte, i) => byte & (0xff00 >> Math.min(8, Math.max(0, length - i * 8))) & 255)
  const text =
    address.length === 4
      ? network.join('.')
      : Array.from({ length: 8 }, (_, i) => ((network[2 * i] << 8) | network[2 * i + 1]).toString(16)).join(
          ':',
        )
  return length === address.length * 8 && random.chance(0.5) ? text : `${text}/${length}`
}

function range(random: Random): PortRange {
  if (random.chance(0.6)) return random.pick(ports)
  const [from, to] = [random.pick(ports), random.pick(ports)].sort((a, b) => a - b)
  return { from, to }
}

/** Bytes that the frame has, or nearly. */
function places(random: Random, frame: Uint8Array, transport: boolean): FlowBytes[] {
  return Array.from({ length: 1 + random.below(2) }, () => {
    const from = random.pick(
      transport ? (['frame', 'network', 'transport'] as const) : (['frame', 'network'] as const),
    )
    const offset = random.chance(0.05) ? random.below(65536) : random.below(90)
    const base = from === 'frame' ? 0 : from === 'network' ? 14 : 34
    const value = Uint8Array.from({ length: 1 + random.below(9) }, (_, i) => frame[base + offset + i] ?? 0)
    if (random.chance(0.1)) value[random.below(value.length)] ^= 1 << random.below(8)
    if (random.chance(0.5)) return from === 'frame' ? { offset, value } : { from, offset, value }
    const mask = value.map(() => random.pick([0, 255, 1, 240, 127]))
    return { from, offset, value: value.map((byte, i) => byte & mask[i]), mask }
  })
}

/** A rule; about half of its fields are those of the frame. */
export function randomRule(random: Random, frame: Uint8Array): FlowRule {
  const rule: FlowRule = {}
  const p = random.pick([0.1, 0.2, 0.4])
  if (random.chance(p)) rule.destinationMac = random.pick(macs)
  if (random.chance(p)) rule.sourceMac = Uint8Array.from(bytesOfMac(random.pick(macs)))
  if (random.chance(p)) rule.vlan = random.pick([...ids, 'none', 'none', 'none'] as const)
  const version = random.pick([4, 4, 6, 0])
  const addresses = version === 6 ? addresses6.map(bytesOf6) : addresses4.map(bytesOf4)
  if (version !== 0) {
    if (random.chance(p)) rule.source = prefix(random, random.pick(addresses))
    if (random.chance(p)) rule.destination = prefix(random, random.pick(addresses))
    if (random.chance(p)) rule.etherType = version === 4 ? 0x0800 : 0x86dd
  }
  const withProtocol = random.chance(0.4)
  if (withProtocol) {
    rule.protocol = random.pick(['tcp', 'udp', 'sctp', 17, 17, 'icmp', 'icmp6', 0, 44] as const)
    if (['tcp', 'udp', 'sctp', 17].includes(rule.protocol)) {
      if (random.chance(0.5)) rule.sourcePort = range(random)
      if (random.chance(0.5)) rule.destinationPort = range(random)
    }
  } else if (version === 0 && random.chance(p)) {
    rule.etherType = random.pick([0x0800, 0x86dd, 0x88b5, 0x88b6, 0x0806, ...tagTypes])
  }
  if (random.chance(0.25)) rule.bytes = places(random, frame, withProtocol)
  return rule
}

/** Lists of rules, each with frames for it. */
export function cases(seed: number, lists: number, framesEach: number, shortest = 0) {
  const random = new Random(seed)
  return Array.from({ length: lists }, () => {
    const frames = Array.from({ length: framesEach }, () => randomFrame(random, shortest))
    const rules = Array.from({ length: random.pick([1, 1, 2, 3, 20]) }, () =>
      randomRule(random, random.pick(frames)),
    )
    return { rules, frames }
  })
}
