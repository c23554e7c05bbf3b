import type { PacketBackend } from './report.js'

/**
 * The options of PacketQueue.open() that not every port supports, and the ports that do. Every port supports all other
 * options.
 */
const support = {
  outgoing: ['af_packet'],
  fanout: ['af_packet'],
  timestamps: ['af_packet', 'mlx5'],
  stripVlan: ['mlx5'],
  striding: ['mlx5'],
  receivePath: ['af_packet'],
  receiveBuffer: ['af_packet'],
  sendBuffer: ['af_packet', 'af_xdp'],
  queueId: ['af_xdp'],
  steer: ['af_xdp'],
  channels: ['af_xdp'],
  busyPoll: ['af_xdp'],
  device: ['raw_packet_qp', 'mlx5'],
  port: ['raw_packet_qp', 'mlx5'],
  mtu: ['raw_packet_qp', 'mlx5'],
  transmitChecksum: ['raw_packet_qp', 'mlx5'],
} as const satisfies Record<string, readonly PacketBackend[]>

/** An option that not every port supports. */
export type PortOption = keyof typeof support

const spelling: Record<PacketBackend, string> = {
  af_packet: "backend: 'af_packet'",
  af_xdp: "backend: 'af_xdp' or exclusive: true",
  raw_packet_qp: "backend: 'raw_packet_qp'",
  mlx5: "backend: 'mlx5'",
}

/** The value that the other ports expect in an option's place. */
const instead: Partial<Record<PortOption, string>> = {
  receiveBuffer: ' (the others have receiveFrames)',
}

/** An option that a port does not support, for the error that refuses it. */
export interface UnsupportedOption {
  option: PortOption
  expected: string
  value: unknown
}

/**
 * The first option that asks for something the port does not support. A value that means off (false, 0 bytes, 0
 * microseconds) asks for nothing.
 */
export function unsupportedOption(
  options: Partial<Record<PortOption, unknown>>,
  port: PacketBackend,
): UnsupportedOption | undefined {
  for (const [name, ports] of Object.entries(support)) {
    const option = name as PortOption
    const value = options[option]
    const off = value === false || (value === 0 && (option === 'sendBuffer' || option === 'busyPoll'))
    if (value === undefined || off || (ports as readonly string[]).includes(port)) continue
    const those = ports.map((each) => spelling[each]).join(' or ')
    return { option, expected: `left out, or with ${those}${instead[option] ?? ''}`, value }
  }
  return undefined
}
