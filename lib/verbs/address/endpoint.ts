import { integer, oneOf, rangeError, typeError, uint32 } from '../../argument.js'
import { mtuCodes, type QueuePairType, QueuePairTypes } from '../constants.js'
import { checkGid } from './gid.js'

/**
 * One end of a connection: what the peer must know to talk to it. It is plain JSON: exchange it over any channel, and
 * give the peer's to {@link QueuePair.connect}. Properties that this version does not know are ignored.
 */
export interface Endpoint {
  /** Version of this format: changes when an older reader would misread it. */
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
  /** UD: the queue key that senders must use. */
  queueKey?: number
}

/** Whether the caller means an endpoint: an address vector has neither of these properties. @internal */
export function isEndpoint(value: object): value is Endpoint {
  return 'version' in value || 'queuePairNumber' in value
}

/** Checks an endpoint that a peer sent: of the given type, or of any. @internal */
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

/** Refuses data of a peer in a format that is newer than this version of the package. @internal */
export function checkVersion(name: string, version: unknown): void {
  if (version === 1) return
  if (typeof version !== 'number') throw typeError(name, 'a number', version)
  throw rangeError(name, '1 (a peer with a newer ibverbs sent it: update the package here)', version)
}
