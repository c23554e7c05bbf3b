import { verbsError } from '../../errors.js'
import type { Endpoint } from '../address/endpoint.js'
import { gidKind, isUnspecified } from '../address/gid.js'
import type { QueuePairAttributes } from './attributes.js'
import type { ConnectOptions } from './connect-options.js'
import type { QueuePair } from './queue-pair.js'

/** INIT → RTR of an RC or UC queue pair: whose packets it takes, and along which way it answers. @internal */
export function readyToReceive(
  pair: QueuePair,
  peer: Endpoint,
  settings: ConnectOptions,
): QueuePairAttributes {
  const limits = pair.domain.context.limits
  return {
    state: 'RTR',
    pathMtu: settings.pathMtu ?? Math.min(pair.endpoint.mtu, peer.mtu),
    destQpNum: peer.queuePairNumber,
    rqPsn: peer.packetSequenceNumber,
    addressVector: {
      port: pair.port,
      lid: peer.lid,
      serviceLevel: settings.serviceLevel,
      ...(isUnspecified(peer.gid)
        ? {}
        : {
            gid: peer.gid,
            gidIndex: pair.gidIndex,
            hopLimit: settings.hopLimit,
            trafficClass: settings.trafficClass,
            flowLabel: settings.flowLabel,
          }),
    },
    ...(pair.type === 'RC' && {
      maxDestRdAtomic: settings.maxDestRdAtomic ?? Math.min(limits.maxQpRdAtom, 16),
      minRnrTimer: settings.minRnrTimer ?? 12,
    }),
  }
}

/** RTR → RTS of an RC or UC queue pair. @internal */
export function readyToSend(pair: QueuePair, settings: ConnectOptions): QueuePairAttributes {
  return {
    state: 'RTS',
    sqPsn: pair.endpoint.packetSequenceNumber,
    ...(pair.type === 'RC' && {
      timeout: settings.timeout ?? 14,
      retryCount: settings.retryCount ?? 6,
      rnrRetry: settings.rnrRetry ?? 6,
      maxRdAtomic: settings.maxRdAtomic ?? Math.min(pair.domain.context.limits.maxQpInitRdAtom, 16),
    }),
  }
}

// Two RoCE ends of different kinds have no way to each other: said here, it is a sentence; later, a timeout.
/** @internal */
export function assertRoute(own: Endpoint, peer: Endpoint): void {
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
