import { listInterfaces } from '../../ethernet/interface/interfaces.js'
import type { QueuePairType } from '../constants.js'
import type { DeviceQueries } from '../device-queries.js'

/** Bit 31 of an element's length is the device's own: it tells mlx4 and mlx5 that the bytes follow inline. */
const mostOfElement = 0x7fffffff

/** A ConnectX' largest MTU: of a port whose network interface is not to be seen from here. */
const largestMtu = 9978

/** Ethernet header and two VLAN tags, which do not count against an MTU. */
const frameHeader = 14 + 2 * 4

/** What a message may be at most, in bytes. @internal */
export interface LongestMessage {
  /** What is sent, written or read by one request. */
  send: number
  /** What can arrive in one message: a longer receive is as good as one of this length. */
  receive: number
}

/**
 * The longest messages of a port: ibv_port_attr.max_msg_sz; of UD what fits into a packet of the port's MTU; of raw
 * packets a frame of its interface's MTU. @internal
 */
export function longestMessage(device: DeviceQueries, port: number, type: QueuePairType): LongestMessage {
  const { maxMessageSize, activeMtu } = device.queryPort(port)
  // 0 is no answer, and iWARP's is 2^32 − 1.
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
