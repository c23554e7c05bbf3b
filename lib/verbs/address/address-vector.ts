import { integer, type Names, object, rangeError, typeError } from '../../argument.js'
import { verbsError } from '../../errors.js'
import type { DeviceQueries } from '../device-queries.js'
import type { NativeAddressVector } from '../native.js'
import type { Endpoint } from './endpoint.js'
import { checkGid, gidKind, isUnspecified } from './gid.js'
import { gidAt, gidFor } from './gid-table.js'

/** The destination of packets and the path to it (ibv_ah_attr, ibv_create_ah(3)). */
export interface AddressVector {
  /** Destination GID, as an IPv6 address; ::ffff:10.0.0.1 for IPv4. May be left out on InfiniBand only. */
  gid?: string
  /** Destination LID, on InfiniBand; 0 by default. */
  lid?: number
  /** Local port, from 1; 1 by default. */
  port?: number
  /** Index of the local GID to send from; by default the best one of the destination's kind. */
  gidIndex?: number
  /** TTL of the packets, 64 by default. For RoCE v2 the kernel uses the route's instead (ib_resolve_eth_dmac). */
  hopLimit?: number
  /** IPv4 TOS or IPv6 traffic class (DSCP << 2 | ECN), 0 by default. */
  trafficClass?: number
  /** Flow label of the GRH, 20 bits; 0 by default. */
  flowLabel?: number
  /** Service level, on Ethernet the 802.1p priority: 0 (the default) to 15. */
  serviceLevel?: number
}
const addressVectorNames = {
  gid: true,
  lid: true,
  port: true,
  gidIndex: true,
  hopLimit: true,
  trafficClass: true,
  flowLabel: true,
  serviceLevel: true,
} as const satisfies Names<AddressVector>

/**
 * Only on InfiniBand may an endpoint have no GID.
 *
 * @throws RangeError that names the endpoint's `gid`, if this port is Ethernet
 * @internal
 */
export function assertAddress(device: DeviceQueries, port: number, name: string, { gid }: Endpoint): void {
  if (isUnspecified(gid) && device.queryPort(port).linkLayer === 'Ethernet') {
    throw rangeError(`${name}.gid`, 'a GID: Ethernet has no LIDs', gid)
  }
}

/**
 * Checks an address vector and fills in the defaults.
 *
 * @param syscall the call that needs it, for errors
 * @internal
 */
export function completeVector(
  device: DeviceQueries,
  vector: AddressVector,
  name: string,
  syscall: string,
): NativeAddressVector & AddressVector {
  object(name, vector, 'an address vector', addressVectorNames)
  const port = integer(`${name}.port`, vector.port ?? 1, 1, device.portCount)
  const complete: NativeAddressVector = {
    port,
    serviceLevel: integer(`${name}.serviceLevel`, vector.serviceLevel ?? 0, 0, 15),
    lid: integer(`${name}.lid`, vector.lid ?? 0, 0, 0xffff),
    sourcePathBits: 0,
    staticRate: 0,
  }
  if (vector.gid === undefined) {
    if (device.queryPort(port).linkLayer === 'Ethernet') {
      throw typeError(`${name}.gid`, 'a GID: Ethernet has no LIDs', vector.gid)
    }
    return complete
  }
  const gid = checkGid(`${name}.gid`, vector.gid)
  return {
    ...complete,
    gid,
    gidIndex:
      vector.gidIndex === undefined
        ? gidFor(device, port, gid).index
        : checkIndex(device, port, gid, integer(`${name}.gidIndex`, vector.gidIndex, 0, 255), syscall),
    hopLimit: integer(`${name}.hopLimit`, vector.hopLimit ?? 64, 0, 255),
    trafficClass: integer(`${name}.trafficClass`, vector.trafficClass ?? 0, 0, 255),
    flowLabel: integer(`${name}.flowLabel`, vector.flowLabel ?? 0, 0, 0xfffff),
  }
}

/** Checks an index that the caller chose: no route leads from an IPv4 GID to an IPv6 one, or back. */
function checkIndex(
  device: DeviceQueries,
  port: number,
  gid: string,
  index: number,
  syscall: string,
): number {
  const own = gidAt(device, port, index).gid
  if ((gidKind(own) === 'IPv4') === (gidKind(gid) === 'IPv4')) return index
  throw verbsError(
    'EINVAL',
    syscall,
    `the GID ${gid} is ${gidKind(gid)} and the one to send from, ${own} at index ${index} of port ${port}, ` +
      `${gidKind(own)}: take a gidIndex of the same kind (ibverbs devices lists them), or none`,
  )
}
