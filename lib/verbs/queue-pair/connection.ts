import { verbsError } from '../../errors.js'
import { assertAddress } from '../address/address-vector.js'
import type { Endpoint } from '../address/endpoint.js'
import { gidKind, isUnspecified } from '../address/gid.js'
import type { Access, QueuePairType } from '../constants.js'
import type { DeviceQueries } from '../device-queries.js'
import { type QueuePairAttributes, toNative } from './attributes.js'
import type { ConnectOptions, InitializeOptions } from './connect-options.js'

/** What the attributes of a connection take from its queue pair. @internal */
export interface LocalEnd {
  readonly type: QueuePairType
  readonly port: number
  readonly gidIndex: number
  readonly endpoint: Readonly<Endpoint>
}

/** RESET → INIT. @internal */
export function initialAttributes(
  end: LocalEnd,
  device: DeviceQueries,
  settings: InitializeOptions,
): QueuePairAttributes {
  const { type, port, endpoint } = end
  const { pkeyIndex = 0, access } = settings
  if (type === 'RAW_PACKET') return { state: 'INIT', port }
  if (type === 'UD') return { state: 'INIT', port, pkeyIndex, qkey: endpoint.queueKey }
  const all: Access[] = ['REMOTE_WRITE']
  if (type === 'RC') all.push('REMOTE_READ')
  if (type === 'RC' && device.limits.atomicCap !== 'NONE') all.push('REMOTE_ATOMIC')
  return { state: 'INIT', port, pkeyIndex, access: access ?? all }
}

/**
 * INIT → RTR → RTS, checked before either is made.
 *
 * @param peer of RC and UC
 * @internal
 */
export function connectingAttributes(
  end: LocalEnd,
  device: DeviceQueries,
  peer: Endpoint | undefined,
  settings: ConnectOptions,
): QueuePairAttributes[] {
  if (!peer) {
    const { packetSequenceNumber: sqPsn } = end.endpoint
    return [{ state: 'RTR' }, end.type === 'UD' ? { state: 'RTS', sqPsn } : { state: 'RTS' }]
  }
  assertAddress(device, end.port, 'remote', peer)
  assertRoute(end.endpoint, peer)
  const steps = [readyToReceive(end, device, peer, settings), readyToSend(end, device, settings)]
  for (const attributes of steps) toNative(device, attributes)
  return steps
}

/** INIT → RTR of an RC or UC queue pair: whose packets it accepts, and the path of its answers. */
function readyToReceive(
  { type, port, gidIndex, endpoint }: LocalEnd,
  { limits }: DeviceQueries,
  peer: Endpoint,
  settings: ConnectOptions,
): QueuePairAttributes {
  return {
    state: 'RTR',
    pathMtu: settings.pathMtu ?? Math.min(endpoint.mtu, peer.mtu),
    destQpNum: peer.queuePairNumber,
    rqPsn: peer.packetSequenceNumber,
    addressVector: {
      port,
      lid: peer.lid,
      serviceLevel: settings.serviceLevel,
      ...(isUnspecified(peer.gid)
        ? {}
        : {
            gid: peer.gid,
            gidIndex,
            hopLimit: settings.hopLimit,
            trafficClass: settings.trafficClass,
            flowLabel: settings.flowLabel,
          }),
    },
    ...(type === 'RC' && {
      maxDestRdAtomic: settings.maxDestRdAtomic ?? Math.min(limits.maxQpRdAtom, 16),
      minRnrTimer: settings.minRnrTimer ?? 12,
    }),
  }
}

/** RTR → RTS of an RC or UC queue pair. */
function readyToSend(
  { type, endpoint }: LocalEnd,
  { limits }: DeviceQueries,
  settings: ConnectOptions,
): QueuePairAttributes {
  return {
    state: 'RTS',
    sqPsn: endpoint.packetSequenceNumber,
    ...(type === 'RC' && {
      timeout: settings.timeout ?? 14,
      retryCount: settings.retryCount ?? 6,
      rnrRetry: settings.rnrRetry ?? 6,
      maxRdAtomic: settings.maxRdAtomic ?? Math.min(limits.maxQpInitRdAtom, 16),
    }),
  }
}

/**
 * Refuses two RoCE ends whose GIDs are of different kinds: no route connects them, and their connection would end in a
 * timeout.
 */
function assertRoute(own: Endpoint, peer: Endpoint): void {
  if (isUnspecified(peer.gid) || isUnspecified(own.gid)) return
  const [ours, theirs] = [gidKind(own.gid), gidKind(peer.gid)]
  if (ours === theirs || (ours === 'IPv6' && theirs === 'link-local')) return
  throw verbsError(
    'EINVAL',
    'ibv_modify_qp',
    `the peer's GID ${peer.gid} is ${theirs} and ours, ${own.gid}, ${ours}: ` +
      'create both queue pairs with a gidIndex of the same kind (ibverbs devices lists them)',
  )
}
