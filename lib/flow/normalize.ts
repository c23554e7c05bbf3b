import { isIPv4 } from 'node:net'
import { instance, integer, object, oneOf, rangeError, string, typeError } from '../argument.js'
import { EtherType, IpProtocol } from '../headers/assigned-numbers.js'
import * as ipv4 from '../headers/ipv4.js'
import * as ipv6 from '../headers/ipv6.js'
import { macArgument } from '../headers/mac.js'
import { isTag } from '../headers/vlan.js'
import type { Alternative, Comparison, Layer } from './alternative.js'
import { fullMask } from './alternative.js'
import {
  type FlowBytes,
  type FlowRule,
  flowBytesNames,
  flowRuleNames,
  type PortRange,
  portRangeNames,
} from './rule.js'

/** Protocols whose header begins with the two ports. */
const portProtocols: readonly number[] = [IpProtocol.tcp, IpProtocol.udp, IpProtocol.sctp, IpProtocol.udpLite]
/** Offsets of the addresses and the protocol in the IP header (RFC 791, 3.1; RFC 8200, 3). */
const network = {
  4: { etherType: EtherType.ipv4, protocol: 9, source: 12, destination: 16 },
  6: { etherType: EtherType.ipv6, protocol: 6, source: 8, destination: 24 },
} as const
const maxValue = 128

/**
 * Checks a list of flow rules and brings it into normal form.
 *
 * @param name of the argument, for errors: 'options.flows' makes 'options.flows[0].vlan'
 * @throws TypeError, RangeError that name the field
 */
export function flowsArgument(name: string, value: unknown): Alternative[] {
  if (!Array.isArray(value)) throw typeError(name, 'an array of flow rules', value)
  if (value.length === 0)
    throw rangeError(name, 'at least one rule (left out, every frame is received)', value)
  return value.flatMap((rule, i) => alternativesOf(`${name}[${i}]`, rule))
}

function alternativesOf(name: string, rule: FlowRule): Alternative[] {
  object(name, rule, 'a flow rule', flowRuleNames)
  const frame = [
    ...(rule.destinationMac === undefined ? [] : mac(`${name}.destinationMac`, rule.destinationMac, 0)),
    ...(rule.sourceMac === undefined ? [] : mac(`${name}.sourceMac`, rule.sourceMac, 6)),
  ]
  const type = rule.etherType === undefined ? undefined : typeOf(`${name}.etherType`, rule.etherType)
  const tag = type !== undefined && isTag(type) ? { type, field: `${name}.etherType` } : undefined
  const etherType = tag ? undefined : type
  const vlan = rule.vlan === undefined ? undefined : vlanOf(`${name}.vlan`, rule.vlan)
  const source = rule.source === undefined ? undefined : prefixOf(`${name}.source`, rule.source)
  const destination =
    rule.destination === undefined ? undefined : prefixOf(`${name}.destination`, rule.destination)
  const protocol = rule.protocol === undefined ? undefined : protocolOf(`${name}.protocol`, rule.protocol)
  const transport = [
    ...(rule.sourcePort === undefined ? [] : [ports(`${name}.sourcePort`, rule.sourcePort, 0, protocol)]),
    ...(rule.destinationPort === undefined
      ? []
      : [ports(`${name}.destinationPort`, rule.destinationPort, 2, protocol)]),
  ]
  const bytes = rule.bytes === undefined ? [] : bytesOf(`${name}.bytes`, rule.bytes, protocol)

  if (source && destination && source.version !== destination.version) {
    throw rangeError(`${name}.destination`, `IPv${source.version} like "${name}.source"`, rule.destination)
  }
  let versions = [(source ?? destination)?.version]
  if (versions[0] === undefined && protocol !== undefined) {
    versions = etherType === EtherType.ipv4 ? [4] : etherType === EtherType.ipv6 ? [6] : [4, 6]
  }
  return versions.map((version): Alternative => {
    if (version === undefined) return { vlan, tag, etherType, version, comparisons: [...frame, ...bytes] }
    const header = network[version]
    if (etherType !== undefined && etherType !== header.etherType) {
      const expected =
        source || destination
          ? `0x${header.etherType.toString(16).padStart(4, '0')} for an IPv${version} address`
          : '0x0800 or 0x86dd where a protocol is given'
      throw rangeError(`${name}.etherType`, `left out, or ${expected}`, etherType)
    }
    const field = `${name}.protocol`
    const comparisons = [
      ...frame,
      ...(protocol === undefined
        ? []
        : [exactly({ layer: 'network', offset: header.protocol, size: 1, field }, protocol)]),
      ...(source ? within(source, header.source, `${name}.source`) : []),
      ...(destination ? within(destination, header.destination, `${name}.destination`) : []),
      ...transport,
      ...bytes,
    ]
    return { vlan, tag, etherType: header.etherType, version, comparisons }
  })
}

type Place = Pick<Comparison, 'layer' | 'offset' | 'size' | 'field'>

function exactly(place: Place, value: number, mask = fullMask(place.size)): Comparison {
  return { ...place, mask, low: value, high: value }
}

/** Bytes with a mask, in as few comparisons as possible; none for bytes that the mask excludes. */
function masked(layer: Layer, at: number, value: Uint8Array, mask: Uint8Array, field: string): Comparison[] {
  const number = (bytes: Uint8Array, from: number, size: number): number =>
    bytes.subarray(from, from + size).reduce((sum, byte) => sum * 256 + byte, 0)
  const result: Comparison[] = []
  for (let i = 0; i < value.length; ) {
    const left = value.length - i
    const size = left >= 4 ? 4 : left >= 2 ? 2 : 1
    const bits = number(mask, i, size)
    // The last comparison stays in any case: the frame must have these bytes.
    if (bits !== 0 || i + size === value.length) {
      result.push(exactly({ layer, offset: at + i, size, field }, number(value, i, size), bits))
    }
    i += size
  }
  return result
}

function mac(field: string, value: unknown, offset: number): Comparison[] {
  return masked('frame', offset, macArgument(field, value), new Uint8Array(6).fill(255), field)
}

function typeOf(field: string, value: unknown): number {
  return integer(field, value, 0x0600, 0xffff)
}

function vlanOf(field: string, value: unknown): { id: number | 'none'; field: string } {
  if (typeof value === 'string') return { id: oneOf(field, value, ['none']), field }
  if (typeof value !== 'number') throw typeError(field, "a number or 'none'", value)
  return { id: integer(field, value, 0, 4094), field }
}

function protocolOf(field: string, value: unknown): number {
  if (typeof value === 'string') {
    const names = Object.keys(IpProtocol) as (keyof typeof IpProtocol)[]
    return IpProtocol[oneOf(field, value, names)]
  }
  if (typeof value !== 'number') throw typeError(field, 'a number or the name of a protocol', value)
  return integer(field, value, 0, 255)
}

interface Prefix {
  version: 4 | 6
  address: Uint8Array
  mask: Uint8Array
}

function prefixOf(field: string, value: unknown): Prefix {
  const text = string(field, value)
  const [, host, bits] = /^([^/]*)(?:\/(0|[1-9]\d{0,2}))?$/.exec(text) ?? []
  let address: Uint8Array
  try {
    address = isIPv4(host) ? bigEndian(ipv4.parse(host)) : ipv6.parse(host)
  } catch {
    throw rangeError(field, "an address or a prefix like '10.0.0.0/8' or 'fe80::/10'", value)
  }
  const length = bits === undefined ? address.length * 8 : Number(bits)
  if (length > address.length * 8) {
    throw rangeError(field, `a prefix of at most ${address.length * 8} bits`, value)
  }
  const mask = address.map((_, i) => 0xff00 >> Math.min(8, Math.max(0, length - 8 * i)))
  const network = address.map((byte, i) => byte & mask[i])
  if (network.some((byte, i) => byte !== address[i])) {
    const meant = network.length === 4 ? network.join('.') : ipv6.format(network)
    throw rangeError(field, `a prefix without bits behind its length ('${meant}/${length}')`, value)
  }
  return { version: address.length === 4 ? 4 : 6, address, mask }
}

function bigEndian(number: number): Uint8Array {
  return Uint8Array.of(number >>> 24, number >>> 16, number >>> 8, number)
}

/** A whole header is required anyway, so words that the mask excludes need no comparison. */
function within({ address, mask }: Prefix, at: number, field: string): Comparison[] {
  return masked('network', at, address, mask, field).filter((comparison) => comparison.mask !== 0)
}

function ports(field: string, value: unknown, offset: number, protocol: number | undefined): Comparison {
  if (protocol === undefined || !portProtocols.includes(protocol)) {
    const rule = field.slice(0, field.lastIndexOf('.'))
    throw rangeError(
      field,
      `left out where "${rule}.protocol" is not 'tcp', 'udp', 'sctp' or 'udpLite'`,
      value,
    )
  }
  const place = { layer: 'transport', offset, size: 2, field } as const
  if (typeof value === 'number') return exactly(place, integer(field, value, 0, 65535))
  const { from, to } = object(
    field,
    value as Exclude<PortRange, number>,
    'a port or { from, to }',
    portRangeNames,
  )
  const low = integer(`${field}.from`, from, 0, 65535)
  return { ...place, mask: 0xffff, low, high: integer(`${field}.to`, to, low, 65535) }
}

function bytesOf(name: string, list: unknown, protocol: number | undefined): Comparison[] {
  if (!Array.isArray(list)) throw typeError(name, 'an array of { from, offset, value, mask }', list)
  return list.flatMap((entry: FlowBytes, i) => {
    const field = `${name}[${i}]`
    object(field, entry, 'bytes at a place', flowBytesNames)
    const { value, mask } = entry
    const layer =
      entry.from === undefined
        ? 'frame'
        : oneOf(`${field}.from`, entry.from, ['frame', 'network', 'transport'])
    if (layer === 'transport' && protocol === undefined) {
      const rule = name.slice(0, name.lastIndexOf('.'))
      throw rangeError(`${field}.from`, `'frame' or 'network' where "${rule}.protocol" is left out`, layer)
    }
    const offset = integer(`${field}.offset`, entry.offset, 0, 65535)
    instance(`${field}.value`, value, Uint8Array)
    if (value.length < 1 || value.length > maxValue) {
      throw rangeError(`${field}.value`, `1 to ${maxValue} bytes`, value.length)
    }
    if (mask === undefined) return masked(layer, offset, value, new Uint8Array(value.length).fill(255), field)
    instance(`${field}.mask`, mask, Uint8Array)
    if (mask.length !== value.length) {
      throw rangeError(`${field}.mask`, `as long as "${field}.value", ${value.length} bytes`, mask.length)
    }
    if (value.some((byte, k) => (byte & ~mask[k]) !== 0)) {
      throw rangeError(`${field}.value`, `0 where "${field}.mask" is`, value)
    }
    return masked(layer, offset, value, mask, field)
  })
}
