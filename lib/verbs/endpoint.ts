import { integer, oneOf, rangeError, typeError, uint32 } from '../argument.js'
import { checkGid } from './address-handle.js'
import { mtuCodes, type QueuePairType } from './constants.js'

/**
 * One end of a connection: what the other side must know to talk to it. Plain JSON: send it over whatever is at
 * hand, and give the other side's to {@link QueuePair.connect}.
 */
export interface Endpoint {
  type: QueuePairType
  /** Number of the queue pair. */
  queuePairNumber: number
  /** First packet sequence number that it will send: 24 bits. */
  packetSequenceNumber: number
  /** Its GID, as an IPv6 address. */
  gid: string
  /** Its LID; 0 on Ethernet. */
  lid: number
  /** Its port's active MTU, in bytes. */
  mtu: number
  /** UD: the queue key that a sender must know. */
  queueKey?: number
}

/** Checks what came from a peer. @internal */
export function checkEndpoint(name: string, value: unknown, type: QueuePairType): Endpoint {
  if (typeof value !== 'object' || value === null) throw typeError(name, 'an endpoint', value)
  const endpoint = value as Endpoint
  oneOf(`${name}.type`, endpoint.type, [type])
  integer(`${name}.queuePairNumber`, endpoint.queuePairNumber, 0, 0xffffff)
  integer(`${name}.packetSequenceNumber`, endpoint.packetSequenceNumber, 0, 0xffffff)
  checkGid(`${name}.gid`, endpoint.gid)
  integer(`${name}.lid`, endpoint.lid, 0, 0xffff)
  if (!mtuCodes.has(integer(`${name}.mtu`, endpoint.mtu))) {
    throw rangeError(`${name}.mtu`, `one of ${[...mtuCodes.keys()].join(', ')}`, endpoint.mtu)
  }
  if (endpoint.queueKey !== undefined) uint32(`${name}.queueKey`, endpoint.queueKey)
  return endpoint
}
