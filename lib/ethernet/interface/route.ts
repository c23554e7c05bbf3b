import { isIPv4 } from 'node:net'
import { constants } from 'node:os'
import { abortSignal, integer, type Names, options as optionsOf, rangeError, string } from '../../argument.js'
import { VerbsError, verbsError } from '../../errors.js'
import * as ipv4 from '../../headers/ipv4.js'
import * as ipv6 from '../../headers/ipv6.js'
import { formatMac } from '../../headers/mac.js'
import { type WaitOptions, waitOptionNames } from '../../wait-options.js'
import { listInterfaces, queryInterface } from './interfaces.js'
import { awaitNeighbour } from './neighbour.js'
import { RoutingSocket } from './netlink/routing-socket.js'
import { type LinkEntry, link, RouteType, route } from './netlink/tables.js'

/** The way of a frame to a destination. */
export interface Route {
  /** 'local' is an address of this machine, reached through the loopback. */
  readonly kind: 'unicast' | 'multicast' | 'broadcast' | 'local'
  /** The interface's name and index. */
  readonly interface: string
  readonly interfaceIndex: number
  /** The hardware addresses: the interface's, and the next hop's or the group's. */
  readonly sourceMac: string
  readonly destinationMac: string
  /** The destination's address as packets carry it: the IPv4 address of an IPv4-mapped one ('::ffff:10.0.0.1'). */
  readonly destination: string
  /** The source address that the kernel would choose; null when the interface has none. */
  readonly source: string | null
  /** The router's address; null when the destination is on the link. */
  readonly gateway: string | null
  /** Largest IP packet in bytes, of the path as far as the kernel knows it. */
  readonly mtu: number
}

/** Options of {@link resolve}. */
export interface ResolveOptions extends WaitOptions {
  /**
   * The outgoing interface. Needed for link-local destinations without a zone ('fe80::1%eth0'). Default: as the routes
   * say.
   */
  interface?: string
  /** The most milliseconds to wait for an unknown neighbour. Default 5000; the kernel gives up after about 3000. */
  timeout?: number
}
const resolveOptionNames = {
  ...waitOptionNames,
  interface: true,
  timeout: true,
} as const satisfies Names<ResolveOptions>

const ethernetTypes = [1 /* ARPHRD_ETHER */, 772 /* ARPHRD_LOOPBACK */]
/** Names of the route types that lead nowhere. */
const nowhere: Record<number, string> = {
  [RouteType.blackhole]: 'a blackhole',
  [RouteType.unreachable]: 'unreachable',
  [RouteType.prohibit]: 'prohibited',
}
/**
 * Their route types by the errno that the kernel returns (fib_props in its net/ipv4/fib_semantics.c,
 * ip6_route_info_create).
 */
const refusals: Record<number, number> = {
  [constants.errno.EINVAL]: RouteType.blackhole,
  [constants.errno.EHOSTUNREACH]: RouteType.unreachable,
  [constants.errno.EACCES]: RouteType.prohibit,
}

/**
 * The way to an IPv4 or IPv6 address (an IPv4-mapped one is IPv4, RFC 4291, 2.5.5.2), from the kernel's tables of
 * routes and neighbours. The kernel resolves an unknown neighbour (ARP, RFC 826; neighbour discovery, RFC 4861). That
 * request needs CAP_NET_ADMIN; without it, an empty datagram to the destination's discard port (RFC 863) has the same
 * effect.
 *
 * @throws VerbsError ENETUNREACH, EHOSTUNREACH when there is no route, EACCES when it is prohibited, ETIMEDOUT when the
 *   next hop does not answer, ENODEV for an interface that does not exist, ENOTSUP for one that is not Ethernet;
 *   TypeError, RangeError; the signal's reason
 */
export async function resolve(destination: string, options?: ResolveOptions): Promise<Route> {
  const given = optionsOf('options', options, resolveOptionNames)
  const signal = abortSignal('options.signal', given.signal)
  const timeout = integer(
    'options.timeout',
    given.timeout === undefined ? 5000 : given.timeout,
    1,
    2 ** 31 - 1,
  )
  const { address, index } = parse(destination, given.interface)
  signal?.throwIfAborted()
  const socket = new RoutingSocket()
  try {
    const way = route(socket, address, index)
    if (typeof way === 'number') throw noRoute(way, destination)
    if (way.type in nowhere) {
      throw nowhereError(way.type, destination)
    }
    const device = link(socket, way.interfaceIndex)
    if (typeof device === 'number') {
      throw new VerbsError(device, 'RTM_GETLINK', `the interface to ${destination} went away`)
    }
    if (!ethernetTypes.includes(device.hardware)) {
      throw verbsError(
        'ENOTSUP',
        'RTM_GETLINK',
        `the way to ${destination} is by "${device.name}", which is not Ethernet (hardware type ${device.hardware})`,
      )
    }
    const kind = kindOf(way.type)
    const hop = way.gateway ?? address
    const mac =
      mapped(kind, address, device) ??
      (await awaitNeighbour(socket, { device, hop, destination, address, text, timeout, signal }))
    if (mac.length !== 6)
      throw verbsError('EPROTO', 'RTM_GETNEIGH', `${text(hop)} has an address of ${mac.length} bytes`)
    return Object.freeze({
      kind,
      destination: text(address),
      interface: device.name,
      interfaceIndex: device.index,
      sourceMac: formatMac(device.address),
      destinationMac: formatMac(mac),
      source: way.source ? text(way.source) : null,
      gateway: way.gateway ? text(way.gateway) : null,
      mtu: way.mtu > 0 ? Math.min(way.mtu, device.mtu) : device.mtu,
    })
  } finally {
    socket.close()
  }
}

function text(address: Uint8Array): string {
  return address.length === 4 ? address.join('.') : ipv6.format(address)
}

/** The address's bytes, and the index of the outgoing interface: 0 where the routes decide. */
function parse(destination: string, name: unknown): { address: Uint8Array; index: number } {
  string('destination', destination)
  let index = name === undefined ? 0 : queryInterface(string('options.interface', name)).index
  if (isIPv4(destination)) {
    const number = ipv4.parse(destination)
    return { address: Uint8Array.of(number >>> 24, number >>> 16, number >>> 8, number), index }
  }
  const [, host, zone] = /^([^%]*)(?:%(.+))?$/s.exec(destination) ?? []
  let address: Uint8Array
  try {
    address = ipv6.parse(host)
  } catch {
    throw rangeError('destination', "an IPv4 or IPv6 address like '10.0.0.1' or 'fe80::1%eth0'", destination)
  }
  if (zone !== undefined) {
    // RFC 4007, 11: a zone is an interface's name or number.
    const zoneIndex =
      listInterfaces().find((entry) => String(entry.index) === zone)?.index ?? queryInterface(zone).index
    if (index !== 0 && index !== zoneIndex) {
      throw rangeError('options.interface', `left out, or the destination's zone "${zone}"`, name)
    }
    index = zoneIndex
  }
  if (index === 0 && isLinkLocal(address)) {
    throw rangeError(
      'destination',
      `an address with its interface ('${host}%eth0', or options.interface)`,
      destination,
    )
  }
  return { address: isMapped(address) ? address.subarray(12) : address, index }
}

/** ::ffff:0:0/96 */
function isMapped(address: Uint8Array): boolean {
  return address.every((byte, i) => i >= 12 || byte === (i < 10 ? 0 : 0xff))
}

/** fe80::/10, and groups of the scopes 1 and 2 (RFC 4291, 2.5.6 and 2.7). */
function isLinkLocal(address: Uint8Array): boolean {
  if (address[0] === 0xff) return (address[1] & 15) <= 2
  return address[0] === 0xfe && (address[1] & 0xc0) === 0x80
}

function nowhereError(type: number, destination: string): VerbsError {
  const code = type === RouteType.prohibit ? 'EACCES' : 'EHOSTUNREACH'
  return verbsError(code, 'RTM_GETROUTE', `the route to ${destination} is ${nowhere[type]}`)
}

/** The error for an address without a route. */
function noRoute(errno: number, destination: string): VerbsError {
  const type = refusals[errno]
  if (type !== undefined) return nowhereError(type, destination)
  return new VerbsError(
    errno,
    'RTM_GETROUTE',
    `no route to ${destination} (ip route get ${destination} says the same)`,
  )
}

function kindOf(type: number): Route['kind'] {
  if (type === RouteType.local) return 'local'
  if (type === RouteType.broadcast) return 'broadcast'
  return type === RouteType.multicast ? 'multicast' : 'unicast'
}

/** The hardware addresses that need no resolution. */
function mapped(kind: Route['kind'], address: Uint8Array, device: LinkEntry): Uint8Array | undefined {
  if (kind === 'local') return device.address
  if (kind === 'broadcast') return device.broadcast
  if (kind === 'unicast') return undefined
  return address.length === 4
    ? // RFC 1112, 6.4: the lower 23 bits
      Uint8Array.of(0x01, 0x00, 0x5e, address[1] & 0x7f, address[2], address[3])
    : // RFC 2464, 7: the lower 32 bits
      Uint8Array.of(0x33, 0x33, ...address.subarray(12))
}
