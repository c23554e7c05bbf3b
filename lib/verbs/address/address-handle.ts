import { integer, type Names, object, rangeError, typeError } from '../../argument.js'
import { verbsError } from '../../errors.js'
import { idOf, NativeHandle } from '../../handle.js'
import { Kind, native } from '../../native.js'
import { CompletionQueue } from '../completion-queue.js'
import { CompletionFlag } from '../constants.js'
import type { Context } from '../context.js'
import { MemoryRegion } from '../memory-region.js'
import type { NativeAddressVector } from '../native.js'
import type { ProtectionDomain } from '../protection-domain.js'
import { checkEndpoint, type Endpoint, isEndpoint } from './endpoint.js'
import { bestGid, checkGid, type GidEntry, gidAt, gidKind, isGroup, isUnspecified } from './gid.js'

/** Where packets go and how (ibv_ah_attr, ibv_create_ah(3)). */
export interface AddressVector {
  /** Destination GID, as an IPv6 address; ::ffff:10.0.0.1 for IPv4. Left out on InfiniBand only. */
  gid?: string
  /** Destination LID, on InfiniBand; 0 by default. */
  lid?: number
  /** Local port, from 1; 1 by default. */
  port?: number
  /** Index of the local GID to send from; by default the best that is of the destination's kind. */
  gidIndex?: number
  /** TTL of the packets, 64 by default. For RoCE v2 the kernel takes the route's instead (ib_resolve_eth_dmac). */
  hopLimit?: number
  /** IPv4 TOS or IPv6 traffic class (DSCP << 2 | ECN), 0 by default. */
  trafficClass?: number
  /** 20 bits; 0 by default. */
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
 * A UD datagram that came, in the row of a completion queue: what the way back to its sender is made from
 * (ibv_create_ah_from_wc(3)). Where it goes there are `cq.sourceQueuePair[row]` and the queue key that both agreed on.
 */
export interface ReceivedDatagram {
  /** The completion queue that told of it. */
  cq: CompletionQueue
  /** Row of the completion, before the next poll; 0 by default. */
  row?: number
  /** The region that it was received into: the first 40 bytes of the receive have its global route header. */
  memory: MemoryRegion
  /** Where in the region the receive began; 0 by default. */
  offset?: number
  /** The port that it came by, from 1; 1 by default. */
  port?: number
}
const receivedDatagramNames = {
  cq: true,
  row: true,
  memory: true,
  offset: true,
  port: true,
} as const satisfies Names<ReceivedDatagram>

/** Bytes of a global route header, with which a UD receive begins. */
const routeHeaderLength = 40

/** An address handle (ibv_create_ah(3)): a destination of UD sends. */
export class AddressHandle extends NativeHandle {
  readonly domain: ProtectionDomain
  /** The address vector in force. */
  readonly vector: Readonly<AddressVector>

  private constructor(handle: number, domain: ProtectionDomain, vector: AddressVector) {
    super(handle, Kind.AddressHandle, 'address handle')
    this.domain = domain
    this.vector = Object.freeze(vector)
  }

  /** @internal */
  static create(
    domain: ProtectionDomain,
    domainHandle: number,
    destination: Endpoint | AddressVector | ReceivedDatagram,
  ): AddressHandle {
    if (typeof destination !== 'object' || destination === null) {
      throw typeError('destination', 'an endpoint, an address vector or a received datagram', destination)
    }
    const { context } = domain
    if ('cq' in destination) {
      const back = wayBack(context, domainHandle, destination)
      return new AddressHandle(native.verbs.createAddressHandle(domainHandle, back), domain, back)
    }
    const address = isEndpoint(destination)
      ? addressOf(context, checkEndpoint('destination', destination))
      : destination
    const vector = completeVector(context, address, 'destination', 'ibv_create_ah')
    return new AddressHandle(native.verbs.createAddressHandle(domainHandle, vector), domain, vector)
  }

  /** @internal */
  protected override describe(): Record<string, unknown> {
    return { ...this.vector, closed: false }
  }
}

/** To where a datagram came from. */
function wayBack(context: Context, domainHandle: number, datagram: ReceivedDatagram): NativeAddressVector {
  const name = 'destination'
  object(name, datagram, 'a received datagram', receivedDatagramNames)
  const { cq, row = 0, memory, offset = 0, port = 1 } = datagram
  idOf(`${name}.cq`, cq, CompletionQueue)
  if (cq.context !== context) throw typeError(`${name}.cq`, "of the domain's own context", cq)
  integer(`${name}.row`, row, 0, cq.batch - 1)
  if (cq.statusName(row) !== 'SUCCESS' || !cq.opcodeName(row).startsWith('RECV')) {
    const what = `${cq.opcodeName(row)}, ${cq.statusName(row)}`
    throw rangeError(`${name}.row`, `a row with a receive that succeeded (this is ${what})`, row)
  }
  idOf(`${name}.memory`, memory, MemoryRegion)
  integer(`${name}.offset`, offset, 0, memory.length)
  integer(`${name}.port`, port, 1, context.portCount)
  const routed = (cq.flags[row] & CompletionFlag.GRH) !== 0
  if (routed && offset + routeHeaderLength > memory.length) {
    throw rangeError(`${name}.offset`, `where a receive of ${routeHeaderLength} bytes or more began`, offset)
  }
  const header = routed ? memory.bytes.subarray(offset, offset + routeHeaderLength) : null
  return native.verbs.addressVectorOf(domainHandle, port, cq.path(row), header)
}

/** Where an endpoint is. */
function addressOf(context: Context, endpoint: Endpoint): AddressVector {
  assertAddress(context, 1, 'destination', endpoint)
  const { gid, lid } = endpoint
  return isUnspecified(gid) ? { lid } : { gid, lid }
}

/**
 * An endpoint without a GID is on InfiniBand.
 *
 * @throws RangeError that names the endpoint's `gid` where this port is Ethernet
 * @internal
 */
export function assertAddress(context: Context, port: number, name: string, { gid }: Endpoint): void {
  if (isUnspecified(gid) && context.queryPort(port).linkLayer === 'Ethernet') {
    throw rangeError(`${name}.gid`, 'a GID: Ethernet has no LIDs', gid)
  }
}

/**
 * Checks an address vector and fills in what is missing.
 *
 * @param syscall the call that it is for
 * @internal
 */
export function completeVector(
  context: Context,
  vector: AddressVector,
  name: string,
  syscall: string,
): NativeAddressVector & AddressVector {
  object(name, vector, 'an address vector', addressVectorNames)
  const port = integer(`${name}.port`, vector.port ?? 1, 1, context.portCount)
  const complete: NativeAddressVector = {
    port,
    serviceLevel: integer(`${name}.serviceLevel`, vector.serviceLevel ?? 0, 0, 15),
    lid: integer(`${name}.lid`, vector.lid ?? 0, 0, 0xffff),
    sourcePathBits: 0,
    staticRate: 0,
  }
  if (vector.gid === undefined) {
    if (context.queryPort(port).linkLayer === 'Ethernet') {
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
        ? gidFor(context, port, gid).index
        : checkIndex(context, port, gid, integer(`${name}.gidIndex`, vector.gidIndex, 0, 255), syscall),
    hopLimit: integer(`${name}.hopLimit`, vector.hopLimit ?? 64, 0, 255),
    trafficClass: integer(`${name}.trafficClass`, vector.trafficClass ?? 0, 0, 255),
    flowLabel: integer(`${name}.flowLabel`, vector.flowLabel ?? 0, 0, 0xfffff),
  }
}

/** An index that the caller chose: from an IPv4 GID there is no way to an IPv6 one, nor back. */
function checkIndex(context: Context, port: number, gid: string, index: number, syscall: string): number {
  const own = gidAt(context, port, index).gid
  if ((gidKind(own) === 'IPv4') === (gidKind(gid) === 'IPv4')) return index
  throw verbsError(
    'EINVAL',
    syscall,
    `the GID ${gid} is ${gidKind(gid)} and the one to send from, ${own} at index ${index} of port ${port}, ` +
      `${gidKind(own)}: take a gidIndex of the same kind (ibverbs devices lists them), or none`,
  )
}

/** The local GID to talk to `gid` from: one of its own kind, for others cannot be routed to it. */
function gidFor(context: Context, port: number, gid: string): GidEntry {
  const table = context.queryGidTable()
  const kind = gidKind(gid)
  // On its own link a group hears a link-local address as well.
  const near = kind === 'IPv6' && isGroup(gid) ? bestGid(table, port, 'link-local') : undefined
  const entry = bestGid(table, port, kind) ?? near
  if (entry) return entry
  const there = table.filter((each) => each.port === port).map((each) => each.gid)
  throw verbsError(
    'EADDRNOTAVAIL',
    'ibv_query_gid_table',
    `port ${port} of ${context.name} has no ${kind} GID to reach ${gid} from` +
      ` (it has ${there.join(', ') || 'none at all: is its network device up?'})`,
  )
}
