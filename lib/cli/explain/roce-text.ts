/** The transport header of a RoCEv2 packet in a line (InfiniBand 9.2, annex A17): UDP port 4791. */

const port = 4791
const headerLength = 12

/** Operations of a reliable connection, by the low five bits of the opcode (InfiniBand, table 38). */
const operations = [
  'SEND first',
  'SEND middle',
  'SEND last',
  'SEND last with immediate',
  'SEND only',
  'SEND only with immediate',
  'RDMA WRITE first',
  'RDMA WRITE middle',
  'RDMA WRITE last',
  'RDMA WRITE last with immediate',
  'RDMA WRITE only',
  'RDMA WRITE only with immediate',
  'RDMA READ request',
  'RDMA READ response first',
  'RDMA READ response middle',
  'RDMA READ response last',
  'RDMA READ response only',
  'acknowledge',
  'atomic acknowledge',
  'compare and swap',
  'fetch and add',
] as const

/** Undefined for a frame that is no RoCEv2 packet of a reliable connection over IPv4 or IPv6 without extensions. */
export function roceText(frame: Uint8Array): string | undefined {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
  const version = frame.length > 14 ? frame[14] >> 4 : 0
  const ipLength = version === 4 ? (frame[14] & 15) * 4 : version === 6 ? 40 : 0
  const udp = 14 + ipLength
  const at = udp + 8
  if (ipLength === 0 || at + headerLength > frame.length || view.getUint16(udp + 2) !== port) return undefined
  const opcode = view.getUint8(at)
  const operation = operations[opcode & 31]
  if (opcode >> 5 !== 0 || operation === undefined) return undefined
  const pair = view.getUint32(at + 4) & 0xffffff
  const psn = view.getUint32(at + 8) & 0xffffff
  return `RoCEv2: ${operation}, to queue pair 0x${pair.toString(16).padStart(6, '0')}, packet sequence number ${psn}`
}
