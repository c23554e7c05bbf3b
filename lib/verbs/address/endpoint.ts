import { integer, oneOf, rangeError, typeError, uint32 } from '../../argument.js'
import { mtuCodes, type QueuePairType, QueuePairTypes } from '../constants.js'
import { checkGid } from './gid.js'

/**
 * One end of a connection: what the other side must know to talk to it. Plain JSON: send it over whatever is at
 * hand, and give the other side's to {@link QueuePair.connect}. What this version does not know of it is ignored.
 */
export interface Endpoint {
  /** Of this format: changes when an older reader would understand it wrongly. */
  version: 1
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

/** Whether it is meant to be an endpoint: an address vector has neither of these. @internal */
export function isEndpoint(value: object): value is Endpoint {
  return 'version' in value || 'queuePairNumber' in value
}

/** Checks what came from a peer; without `type`, of any type. @internal */
export function checkEndpoint(name: string, value: unknown, type?: QueuePairType): Endpoint {
  if (typeof value !== 'object' || value === null) throw typeError(name, 'an endpoint', value)
  const endpoint = value as Endpoint
  checkVersion(`${name}.version`, endpoint.version)
  oneOf(`${name}.type`, endpoint.type, type ? [type] : (Object.keys(QueuePairTypes) as QueuePairType[]))
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

/** Refuses what a peer sent in a format that came after this version of the package. @internal */
export function checkVersion(name: string, version: unknown): void {
  if (version === 1) return
  if (typeof version !== 'number') throw typeError(name, 'a number', version)
  throw rangeError(name, '1 (a peer with a newer ibverbs sent it: update the package here)', version)
}
