import type { Names } from '../argument.js'
import type { IpProtocol } from '../headers/assigned-numbers.js'
import type { MacAddress } from '../headers/mac.js'

/** A port, or all ports from `from` to `to`, both included. */
export type PortRange =
  | number
  | {
      /** The lowest port. */
      from: number
      /** The highest port. */
      to: number
    }
export const portRangeNames = { from: true, to: true } as const satisfies Names<Exclude<PortRange, number>>

/** Bytes that a frame must have at an offset. */
export interface FlowBytes {
  /**
   * What `offset` counts from. 'frame' (the default): the frame as a queue delivers it, without a stripped VLAN tag.
   * 'network': behind the EtherType, however many tags precede it. 'transport': behind the IPv4 header and its options, or
   * the 40 bytes of the IPv6 header; needs `protocol`.
   */
  from?: 'frame' | 'network' | 'transport'
  /** In bytes, 0 to 65535. */
  offset: number
  /** The bytes to compare with, 1 to 128. */
  value: Uint8Array
  /** As long as `value`: the bits to compare. Default: all. `value` must be 0 where `mask` is. */
  mask?: Uint8Array
}
export const flowBytesNames = {
  from: true,
  offset: true,
  value: true,
  mask: true,
} as const satisfies Names<FlowBytes>

/**
 * Selects the frames that a queue receives: those that match every field of the rule. A list of rules matches a frame that
 * any of them matches; a rule without fields matches every frame. All backends share this type; a backend refuses, by name,
 * a field it cannot match (ENOTSUP, as Node names EOPNOTSUPP), and never matches more than the rule says.
 *
 * - Up to two VLAN tags (0x8100, 0x88a8, 0x9100) are skipped, in the frame or stripped by the kernel.
 * - A field that the frame's end cuts off does not match. Lengths and checksums within headers are not checked.
 * - An IPv4 header must say version 4 and at least 20 bytes, an IPv6 header version 6.
 * - Ports and transport bytes are those of whole packets and first fragments: a later fragment has none and never matches.
 * - IPv6 extension headers are not skipped: `protocol` is the next header of the fixed header, as NICs match it. A packet
 *   with extension headers, such as a fragment, matches by addresses, and by the extension header's own number.
 */
export interface FlowRule {
  /** Source MAC address. Default: any. */
  sourceMac?: MacAddress
  /** Destination MAC address, a station's or a group's. Default: any. */
  destinationMac?: MacAddress
  /**
   * 0x0600 to 0xffff: the type behind VLAN tags, if there are any. A tag's own type (0x8100, 0x88a8, 0x9100) matches every
   * frame whose outer tag has it, whatever the frame carries. Default: any.
   */
  etherType?: number
  /** VLAN id of the outer tag, 0 to 4094 (0: a priority tag), or 'none': no tag. Default: any. */
  vlan?: number | 'none'
  /** Source prefix in CIDR notation, '10.0.0.0/8' or 'fe80::/10'; without a length, a single address. Default: any. */
  source?: string
  /** Destination prefix, like `source`. Default: any. */
  destination?: string
  /**
   * IPv4 protocol or IPv6 next header, a number or its name in `IpProtocol`. Without addresses it matches both. Default:
   * any.
   */
  protocol?: number | keyof typeof IpProtocol
  /** Source port; needs `protocol` 'tcp', 'udp', 'sctp' or 'udpLite'. Default: any. */
  sourcePort?: PortRange
  /** Destination port; needs `protocol`, like `sourcePort`. Default: any. */
  destinationPort?: PortRange
  /** Bytes at offsets, all of which must match. Default: none. */
  bytes?: readonly FlowBytes[]
}
export const flowRuleNames = {
  sourceMac: true,
  destinationMac: true,
  etherType: true,
  vlan: true,
  source: true,
  destination: true,
  protocol: true,
  sourcePort: true,
  destinationPort: true,
  bytes: true,
} as const satisfies Names<FlowRule>
