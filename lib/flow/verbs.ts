/**
 * Flow rules as the specifications of ibv_create_flow(3): a sequence of struct ibv_flow_spec_* of infiniband/verbs.h, with
 * the frame's fields in network order and the rest in the machine's.
 *
 * A device compares header fields under masks, and nothing else: so a range of ports becomes several rules, one for each
 * block of numbers, and a field that the device does not compare is refused by name.
 */
import { endianness } from 'node:os'
import { rangeError } from '../argument.js'
import { type VerbsError, verbsError } from '../errors.js'
import { IpProtocol } from '../headers/assigned-numbers.js'
import type { Alternative, Comparison } from './alternative.js'

/** enum ibv_flow_spec_type */
const Type = { eth: 0x20, ipv6: 0x31, ipv4: 0x32, tcp: 0x40, udp: 0x41, tag: 0x1000, drop: 0x1001 } as const

/** Offsets of a filter's value and mask in its specification, their length and the whole size. */
interface Shape {
  value: number
  mask: number
  length: number
  size: number
}
const shapes = {
  /** ibv_flow_spec_eth */
  eth: { value: 6, mask: 22, length: 16, size: 40 },
  /** ibv_flow_spec_ipv4_ext */
  ipv4: { value: 8, mask: 20, length: 12, size: 32 },
  /** ibv_flow_spec_ipv6 */
  ipv6: { value: 8, mask: 48, length: 40, size: 88 },
  /** ibv_flow_spec_tcp_udp */
  ports: { value: 6, mask: 10, length: 4, size: 16 },
} as const satisfies Record<string, Shape>

/** Offsets in ibv_flow_eth_filter. */
const ether = { type: 12, vlan: 14 } as const
const littleEndian = endianness() === 'LE'
/** The most device rules for one list. */
const maxRules = 1024

/** By IP version: the filter's offset for each byte of the IP header (RFC 791, 3.1; RFC 8200, 3). */
const places: Record<4 | 6, ReadonlyMap<number, number>> = {
  // src_ip, dst_ip, proto, tos, ttl
  4: new Map([...stretch(12, 0, 4), ...stretch(16, 4, 4), [9, 8], [1, 9], [8, 10]]),
  // src_ip, dst_ip, next_hdr, hop_limit
  6: new Map([...stretch(8, 0, 16), ...stretch(24, 16, 16), [6, 36], [7, 38]]),
}
const protocolAt = { 4: 9, 6: 6 } as const
/** By byte of the transport header: the offset in ibv_flow_tcp_udp_filter, which has the destination first. */
const portPlaces = new Map([...stretch(0, 2, 2), ...stretch(2, 0, 2)])
/** By byte of the frame: the offset in ibv_flow_eth_filter. */
const framePlaces = new Map(stretch(0, 0, 12))

function stretch(from: number, to: number, count: number): [number, number][] {
  return Array.from({ length: count }, (_, i) => [from + i, to + i])
}

/** A filter's value and mask. */
class Filter {
  readonly value: Uint8Array
  readonly mask: Uint8Array
  /** Whether two comparisons of the same bits demand different values. */
  contradicts = false

  constructor(readonly shape: Shape) {
    this.value = new Uint8Array(shape.length)
    this.mask = new Uint8Array(shape.length)
  }

  set(at: number, value: number, mask: number): void {
    if ((this.value[at] ^ value) & this.mask[at] & mask) this.contradicts = true
    this.value[at] |= value & mask
    this.mask[at] |= mask
  }

  set16(at: number, value: number, mask: number): void {
    this.set(at, value >> 8, mask >> 8)
    this.set(at + 1, value & 0xff, mask & 0xff)
  }

  get empty(): boolean {
    return this.mask.every((byte) => byte === 0)
  }

  specification(type: number): Uint8Array {
    const bytes = header(type, this.shape.size)
    bytes.set(this.value, this.shape.value)
    bytes.set(this.mask, this.shape.mask)
    return bytes
  }
}

function header(type: number, size: number): Uint8Array {
  const bytes = new Uint8Array(size)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, type, littleEndian)
  view.setUint16(4, size, littleEndian)
  return bytes
}

/**
 * The specifications of each rule that the device needs; none for an alternative that contradicts itself.
 *
 * @param name of the argument, for the error
 * @throws VerbsError ENOTSUP with the field that a device cannot compare; RangeError for too many rules
 */
export function verbsFlowRules(alternatives: readonly Alternative[], name = 'rules'): Uint8Array[] {
  // The same rule twice would deliver a frame twice.
  const rules = new Map<string, Uint8Array>()
  for (const alternative of alternatives) {
    for (const rule of compile(alternative, name)) rules.set(Buffer.from(rule).toString('hex'), rule)
    if (rules.size > maxRules) throw tooMany(name)
  }
  return [...rules.values()]
}

/** A rule's specifications, with the actions for its frames behind them. */
export function withActions(rule: Uint8Array, actions: { tag?: number; drop?: boolean }): Uint8Array {
  const parts = [rule]
  if (actions.tag !== undefined) {
    const tag = header(Type.tag, 12)
    new DataView(tag.buffer).setUint32(8, actions.tag, littleEndian)
    parts.push(tag)
  }
  if (actions.drop) parts.push(header(Type.drop, 8))
  return concatenate(parts)
}

function compile(alternative: Alternative, name: string): Uint8Array[] {
  const { vlan, tag, etherType, version, comparisons } = alternative
  const eth = new Filter(shapes.eth)
  const ip = new Filter(version === 6 ? shapes.ipv6 : shapes.ipv4)
  const protocol = protocolOf(alternative)
  if (tag) throw unable(tag.field, "a device's rule compares the id of a tag, not its type")
  if (vlan) {
    if (vlan.id === 'none')
      throw unable(
        vlan.field,
        "a device's rule cannot say that there is no tag (match the tagged ones apart)",
      )
    eth.set16(ether.vlan, vlan.id, 0xfff)
  }
  if (etherType !== undefined && version === undefined) eth.set16(ether.type, etherType, 0xffff)

  const ports: Filter[] = [new Filter(shapes.ports)]
  const ranges: Comparison[] = []
  for (const comparison of comparisons) {
    const { layer, field } = comparison
    if (layer === 'frame') place(eth, framePlaces, comparison)
    else if (version === undefined)
      throw unable(field, "a device's rule compares addresses, protocols and ports")
    else if (layer === 'network') {
      // The specification of TCP or UDP implies it.
      if (protocol === undefined || comparison.offset !== protocolAt[version] || comparison.size > 1) {
        place(ip, places[version], comparison)
      }
    } else if (protocol === undefined) {
      throw unable(field, "a device's rule has ports of TCP and UDP only")
    } else if (comparison.low === 0) {
      // A rule on port 0 would match later fragments.
      throw unable(field, 'a device takes 0 for the ports of a fragment that has none')
    } else if (comparison.low === comparison.high) place(ports[0], portPlaces, comparison)
    else ranges.push(comparison)
  }
  const filters = ranges.reduce((each, range) => each.flatMap((filter) => blocks(filter, range, name)), ports)
  if (eth.contradicts || ip.contradicts) return []

  const front: Uint8Array[] = []
  if (!eth.empty || version === undefined) front.push(eth.specification(Type.eth))
  if (version !== undefined) front.push(ip.specification(version === 4 ? Type.ipv4 : Type.ipv6))
  if (protocol === undefined) return [concatenate(front)]
  const type = protocol === IpProtocol.tcp ? Type.tcp : Type.udp
  return filters
    .filter((filter) => !filter.contradicts)
    .map((filter) => concatenate([...front, filter.specification(type)]))
}

/** TCP or UDP, if the alternative demands one of them and nothing contradicts it. */
function protocolOf({ version, comparisons }: Alternative): number | undefined {
  if (version === undefined) return undefined
  const asked = comparisons.filter(
    ({ layer, offset, size, mask }) =>
      layer === 'network' && offset === protocolAt[version] && size === 1 && mask === 0xff,
  )
  const [first] = asked
  const known = first?.low === IpProtocol.tcp || first?.low === IpProtocol.udp
  return known && asked.every(({ low }) => low === first.low) ? first.low : undefined
}

/** Sets a comparison's bytes in the filter. */
function place(filter: Filter, where: ReadonlyMap<number, number>, comparison: Comparison): void {
  const { offset, size, mask, low, field } = comparison
  for (let i = 0; i < size; i++) {
    const shift = 8 * (size - 1 - i)
    const bits = (mask >>> shift) & 0xff
    const at = where.get(offset + i)
    // Bytes of a known header that the mask excludes are there anyway.
    if (at !== undefined) filter.set(at, (low >>> shift) & 0xff, bits)
    else throw unable(field, "a device's rule compares addresses, protocols and ports, not other bytes")
  }
}

/** A filter for each block of numbers, an aligned power of two, that makes up a range of ports. */
function blocks(filter: Filter, { offset, low, high }: Comparison, name: string): Filter[] {
  const at = portPlaces.get(offset) as number
  const result: Filter[] = []
  for (let from = low; from <= high; ) {
    let size = from === 0 ? 0x10000 : from & -from
    while (from + size - 1 > high) size /= 2
    const each = new Filter(filter.shape)
    for (let i = 0; i < filter.value.length; i++) each.set(i, filter.value[i], filter.mask[i])
    each.contradicts = filter.contradicts
    each.set16(at, from, 0x10000 - size)
    result.push(each)
    from += size
  }
  if (result.length > maxRules) throw tooMany(name)
  return result
}

function concatenate(parts: Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts))
}

function unable(field: string, why: string): VerbsError {
  return verbsError('ENOTSUP', 'ibv_create_flow', `"${field}": ${why}`)
}

function tooMany(name: string): RangeError {
  return rangeError(name, `rules for at most ${maxRules} of the device's (fewer, or smaller ranges)`, name)
}
