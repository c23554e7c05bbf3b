/**
 * Flow rules as the n-tuple rules of a NIC: struct ethtool_rx_flow_spec of linux/ethtool.h, as `ethtool -N` makes it.
 */
import { verbsError } from '../errors.js'
import { IpProtocol } from '../headers/assigned-numbers.js'
import type { Alternative, Comparison } from './alternative.js'

/** flow_type */
const FlowType = {
  ether: 0x12,
  4: { tcp: 0x01, udp: 0x02, sctp: 0x03, user: 0x0d },
  6: { tcp: 0x05, udp: 0x06, sctp: 0x07, user: 0x0e },
  ext: 0x80000000,
  macExt: 0x40000000,
} as const
/** Offsets in the struct, and its length. A mask lies `toMask` bytes behind its value; bits that are 1 must match. */
const Spec = { type: 0, fields: 4, ext: 56, toMask: 72, ring: 152, location: 160, bytes: 168 } as const
/** Offsets in struct ethtool_flow_ext */
const Ext = { destinationMac: 2, vlanType: 8, vlanTag: 10 } as const
/** Offset in struct ethhdr */
const etherTypeField = 12
/** ETH_RX_NFC_IP4, and its offset in struct ethtool_usrip4_spec */
const IpVersion = { offset: 13, four: 1 } as const
/** RX_CLS_LOC_ANY: the device chooses. */
const anyLocation = 0xffffffff

/** Offsets of an IP packet's fields in the union, by the offset of their first byte in their header. */
const places = {
  4: {
    network: [
      { from: 12, bytes: 8, to: 0 }, // ip4src, ip4dst
      { from: 1, bytes: 1, to: 12 }, // tos
    ],
    protocol: { from: 9, to: 14 },
    transport: 8,
  },
  6: {
    network: [{ from: 8, bytes: 32, to: 0 }], // ip6src, ip6dst
    protocol: { from: 6, to: 37 },
    transport: 32,
  },
} as const

const names = new Map<number, 'tcp' | 'udp' | 'sctp'>([
  [IpProtocol.tcp, 'tcp'],
  [IpProtocol.udp, 'udp'],
  [IpProtocol.sctp, 'sctp'],
])

/**
 * The rule that steers the frames of an alternative to a receive queue of the device.
 *
 * @param location in the device's table; undefined: the device chooses
 * @throws VerbsError ENOTSUP that names the field for which the struct has no place
 */
export function ntupleRule(alternative: Alternative, queueId: number, location?: number): Uint8Array {
  const bytes = new Uint8Array(Spec.bytes)
  const view = new DataView(bytes.buffer)
  const little = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1
  const { version, vlan, tag, etherType, comparisons } = alternative
  let type: number = FlowType.ether
  if (version === undefined) {
    if (etherType !== undefined) put(bytes, Spec.fields + etherTypeField, 2, etherType, 0xffff)
    for (const item of comparisons) {
      if (item.layer !== 'frame' || item.offset + item.size > 14) throw impossible(item)
      put(bytes, Spec.fields + item.offset, item.size, exact(item), item.mask, item.field)
    }
  } else {
    const { network, protocol, transport } = places[version]
    const isProtocol = (item: Comparison): boolean =>
      item.layer === 'network' && item.offset === protocol.from && item.size === 1 && item.mask === 0xff
    const wanted = comparisons.find(isProtocol)
    const name = wanted && names.get(exact(wanted))
    type = FlowType[version][name ?? 'user']
    if (version === 4 && name === undefined) bytes[Spec.fields + IpVersion.offset] = IpVersion.four
    if (wanted && name === undefined)
      put(bytes, Spec.fields + protocol.to, 1, exact(wanted), 0xff, wanted.field)
    for (const item of comparisons) {
      if (item === wanted) continue
      const { layer, offset, size, mask } = item
      const end = offset + size
      if (layer === 'frame' && end <= 6) {
        type += (type & FlowType.macExt) === 0 ? FlowType.macExt : 0
        put(bytes, Spec.ext + Ext.destinationMac + offset, size, exact(item), mask, item.field)
      } else if (layer === 'transport' && end <= 4) {
        put(bytes, Spec.fields + transport + offset, size, exact(item), mask, item.field)
      } else {
        const place = network.find(({ from, bytes }) => offset >= from && end <= from + bytes)
        if (layer !== 'network' || !place) throw impossible(item)
        put(bytes, Spec.fields + place.to + offset - place.from, size, exact(item), mask, item.field)
      }
    }
  }
  if (vlan !== undefined) {
    if (vlan.id === 'none') throw impossible(vlan)
    put(bytes, Spec.ext + Ext.vlanTag, 2, vlan.id, 0x0fff, vlan.field)
  }
  if (tag !== undefined) put(bytes, Spec.ext + Ext.vlanType, 2, tag.type, 0xffff, tag.field)
  if (vlan !== undefined || tag !== undefined) type += FlowType.ext
  view.setUint32(Spec.type, type, little)
  view.setUint32(Spec.ring + (little ? 0 : 4), queueId, little)
  view.setUint32(Spec.location, location ?? anyLocation, little)
  return bytes
}

function put(
  bytes: Uint8Array,
  at: number,
  size: number,
  value: number,
  mask: number,
  field = 'etherType',
): void {
  for (let i = 0; i < size; i++) {
    const shift = 8 * (size - 1 - i)
    const bits = (mask >>> shift) & 0xff
    const byte = (value >>> shift) & bits
    if ((bytes[at + i] ^ byte) & bytes[at + i + Spec.toMask] & bits)
      throw impossible({ field }, 'two different values')
    bytes[at + i] |= byte
    bytes[at + i + Spec.toMask] |= bits
  }
}

/** The one value that a comparison accepts. */
function exact(item: Comparison): number {
  if (item.low !== item.high) throw impossible(item, 'a range')
  return item.low
}

function impossible({ field }: { field: string }, what = 'this'): Error {
  return verbsError('ENOTSUP', 'ioctl', `ETHTOOL_SRXCLSRLINS: "${field}": an n-tuple rule cannot say ${what}`)
}
