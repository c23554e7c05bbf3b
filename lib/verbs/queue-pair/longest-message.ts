import { listInterfaces } from '../../ethernet/interface/interfaces.js'
import type { QueuePairType } from '../constants.js'
import type { DeviceQueries } from '../device-queries.js'

/**
 * Longest scatter/gather element: bit 31 of its length tells mlx4 and mlx5 that the data follow inline
 * (MLX5_INLINE_SEG, mlx5dv.h).
 */
const mostOfElement = 0x7fffffff

/** Largest MTU of a ConnectX, taken for a port whose network interface is not visible here. */
const largestMtu = 9978

/** Bytes of an Ethernet header and two VLAN tags, which an MTU does not count. */
const frameHeader = 14 + 2 * 4

/** The longest messages of a port, in bytes. @internal */
export interface LongestMessage {
  /** Sent, written or read by one request. */
  send: number
  /** Received in one message: a longer receive can take no more. */
  receive: number
}

/**
 * The longest messages of a port: max_msg_sz of ibv_port_attr; for UD, what fits into a packet of the port's MTU; for
 * raw packets, a frame of its interface's MTU. @internal
 */
export function longestMessage(device: DeviceQueries, port: number, type: QueuePairType): LongestMessage {
  const { maxMessageSize, activeMtu } = device.queryPort(port)
  // A max_msg_sz of 0 says nothing; that of iWARP is 2^32 − 1.
  const receive = Math.min(maxMessageSize || mostOfElement, mostOfElement)
  if (type === 'UD') return { send: activeMtu, receive }
  if (type === 'RAW_PACKET') return { send: interfaceMtu(device, port) + frameHeader, receive }
  return { send: receive, receive }
}

/** The MTU of the interface behind a port. */
function interfaceMtu(device: DeviceQueries, port: number): number {
  const behind = device.queryGidTable().find((entry) => entry.port === port && entry.netdev !== null)
  const known = behind && listInterfaces().find(({ name }) => name === behind.netdev)
  return known?.mtu ?? largestMtu
}
