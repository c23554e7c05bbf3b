import type { Names } from '../argument.js'
import type { IpProtocol } from '../headers/assigned-numbers.js'
import type { MacAddress } from '../headers/mac.js'

/** Ports: one, or all from `from` to `to`, both included. */
export type PortRange =
  | number
  | {
      /** The lowest. */
      from: number
      /** The highest. */
      to: number
    }
export const portRangeNames = { from: true, to: true } as const satisfies Names<Exclude<PortRange, number>>

/** Bytes that a frame must have at a place. */
export interface FlowBytes {
  /**
   * What `offset` counts from. 'frame' (the default): the frame as a queue delivers it, without a VLAN tag that was taken
   * out. 'network': behind the EtherType, wherever tags put it. 'transport': behind the IPv4 header and its options, or
   * the 40 bytes of the IPv6 header; needs `protocol`.
   */
  from?: 'frame' | 'network' | 'transport'
  /** In bytes, 0 to 65535. */
  offset: number
  /** The bytes themselves, 1 to 128. */
  value: Uint8Array
  /** As long as `value`: which bits count. Default: all. `value` must be 0 where `mask` is. */
  mask?: Uint8Array
}
export const flowBytesNames = {
  from: true,
  offset: true,
  value: true,
  mask: true,
} as const satisfies Names<FlowBytes>

/**
 * Which frames come to a queue: those that have everything that the rule names. A list of rules means any of them; a
 * rule that names nothing is every frame. One type for all backends; what a backend cannot express it refuses by name
 * (ENOTSUP, as Node names EOPNOTSUPP), it never matches more.
 *
 * - Up to two VLAN tags (0x8100, 0x88a8, 0x9100) are passed over, in the frame or taken out by the kernel.
 * - A field that the frame's end cuts off does not match. Lengths and checksums within headers are not checked.
 * - An IPv4 header must say version 4 and at least 20 bytes, an IPv6 header version 6.
 * - Ports and transport bytes are those of whole packets and first fragments: a later fragment has none and never
 *   matches.
 * - IPv6 extension headers are not passed over: `protocol` is the next header of the fixed header, as NICs match it. A
 *   packet with extension headers, a fragment among them, matches by addresses, and by the extension's own number.
 */
export interface FlowRule {
  /** Of the station that sent it. Default: no matter. */
  sourceMac?: MacAddress
  /** Of the station or the group that it is for. Default: no matter. */
  destinationMac?: MacAddress
  /**
   * 0x0600 to 0xffff: the type behind VLAN tags, whether there are any or not. A tag's own (0x8100, 0x88a8, 0x9100): every
   * frame whose outer tag is of that type, whatever it carries. Default: no matter.
   */
  etherType?: number
  /** Id of the outer tag, 0 to 4094 (0: a tag with a priority only), or 'none': no tag. Default: no matter. */
  vlan?: number | 'none'
  /** Source prefix in CIDR notation, '10.0.0.0/8' or 'fe80::/10'; without a length, the one address. Default: no matter. */
  source?: string
  /** Destination prefix. Default: no matter. */
  destination?: string
  /**
   * IPv4 protocol or IPv6 next header, a number or its name in `IpProtocol`. Without addresses: of both. Default: no matter.
   */
  protocol?: number | keyof typeof IpProtocol
  /** Source port; needs `protocol` 'tcp', 'udp', 'sctp' or 'udpLite'. Default: no matter. */
  sourcePort?: PortRange
  /** Destination port; needs `protocol` like `sourcePort`. Default: no matter. */
  destinationPort?: PortRange
  /** Bytes at places, all of them. Default: none. */
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
