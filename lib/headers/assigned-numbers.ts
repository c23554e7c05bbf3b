/** Assigned numbers: IANA "IEEE 802 Numbers" and "Protocol Numbers" (RFC 9542, RFC 5237). */

/** Type of the header behind an Ethernet header or a VLAN tag; GRE uses the same numbers. */
export const EtherType = {
  ipv4: 0x0800,
  arp: 0x0806,
  wakeOnLan: 0x0842,
  /** a whole Ethernet frame, in GRE (RFC 1701) */
  transparentBridging: 0x6558,
  /** IEEE 802.1Q customer tag */
  vlan: 0x8100,
  ipv6: 0x86dd,
  flowControl: 0x8808,
  lacp: 0x8809,
  mpls: 0x8847,
  pppoeDiscovery: 0x8863,
  pppoeSession: 0x8864,
  /** IEEE 802.1ad service tag, the outer one of QinQ */
  serviceVlan: 0x88a8,
  /** for experiments in a private network (IEEE 802, clause 9.2.4) */
  localExperimental1: 0x88b5,
  localExperimental2: 0x88b6,
  lldp: 0x88cc,
  ptp: 0x88f7,
  /** RoCE v1 */
  roce: 0x8915,
  /** the outer tag of QinQ before 802.1ad */
  legacyQinQ: 0x9100,
} as const

/** Protocol of the header behind an IPv4 header, an IPv6 header or an IPv6 extension header. */
export const IpProtocol = {
  hopByHopOptions: 0,
  icmp: 1,
  igmp: 2,
  ipv4: 4,
  tcp: 6,
  udp: 17,
  ipv6: 41,
  routing: 43,
  fragment: 44,
  gre: 47,
  esp: 50,
  authentication: 51,
  icmp6: 58,
  noNextHeader: 59,
  destinationOptions: 60,
  ospf: 89,
  sctp: 132,
  mobility: 135,
  udpLite: 136,
  hip: 139,
  shim6: 140,
} as const

/** UDP ports of protocols that this package knows (IANA "Service Name and Port Number Registry"). */
export const UdpPort = { vxlan: 4789, roceV2: 4791 } as const
