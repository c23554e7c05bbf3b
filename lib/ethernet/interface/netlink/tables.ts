/** The kernel's tables of routes, links and neighbours (rtnetlink(7), linux/rtnetlink.h): one entry of each at a time. */
import { attributesOf, fixedPart, type Message, MessageFlag, malformed, readNumber } from './message.js'
import type { RoutingSocket } from './routing-socket.js'

/** RTM_* */
const Type = { getLink: 18, newNeighbour: 28, getNeighbour: 30, getRoute: 26 } as const
/** AF_* */
const Family = { ipv4: 2, ipv6: 10 } as const
/** RTA_*; `mtu` is RTAX_MTU, within the metrics */
const RouteAttribute = {
  destination: 1,
  interface: 4,
  gateway: 5,
  source: 7,
  metrics: 8,
  cache: 12,
  via: 18,
  mtu: 2,
} as const
/** RTN_* */
export const RouteType = {
  local: 2,
  broadcast: 3,
  multicast: 5,
  blackhole: 6,
  unreachable: 7,
  prohibit: 8,
} as const
/** IFLA_* */
const LinkAttribute = { address: 1, broadcast: 2, name: 3, mtu: 4 } as const
/** NDA_* */
const NeighbourAttribute = { destination: 1, address: 2 } as const
/** NUD_*: the states with a usable address (NUD_VALID), and the state of an address that did not answer */
const State = { valid: 0xde, failed: 0x20 } as const
/** NTF_USE: the kernel resolves the neighbour as if a packet were sent to it */
const use = 1
/** Bytes of struct rtmsg, struct ifinfomsg, struct ndmsg. */
const fixedBytes = { route: 12, link: 16, neighbour: 12 } as const

/** Addresses are four or sixteen bytes. */
function familyOf(address: Uint8Array): number {
  return address.length === 4 ? Family.ipv4 : Family.ipv6
}

export interface RouteEntry {
  /** RTN_* */
  type: number
  interfaceIndex: number
  gateway: Uint8Array | undefined
  source: Uint8Array | undefined
  /** of the path, where it is smaller than the interface's; 0 where the kernel names none */
  mtu: number
}

/** The route to an address, or the errno. */
export function route(
  socket: RoutingSocket,
  destination: Uint8Array,
  interfaceIndex: number,
): RouteEntry | number {
  const bits = destination.length * 8
  const answer = socket.ask(
    Type.getRoute,
    0,
    fixedPart([1, familyOf(destination)], [1, bits], [1, 0], [1, 0], [1, 0], [1, 0], [1, 0], [1, 0], [4, 0]),
    [
      [RouteAttribute.destination, destination],
      ...(interfaceIndex > 0 ? [[RouteAttribute.interface, fixedPart([4, interfaceIndex])] as const] : []),
    ],
  )
  return typeof answer === 'number' ? answer : routeOf(answer)
}

/** Decodes a message of type RTM_NEWROUTE; the errno where the route is not usable. */
export function routeOf({ body }: Pick<Message, 'body'>): RouteEntry | number {
  const type = readNumber(body, 7, 1)
  const attributes = attributesOf(body, fixedBytes.route)
  // IPv6 reports an unreachable destination as a route with an error (rta_error in struct rta_cacheinfo).
  const cache = attributes.get(RouteAttribute.cache)
  const error = cache ? readNumber(cache, 12, 4) | 0 : 0
  if (error !== 0) return Math.abs(error)
  const index = attributes.get(RouteAttribute.interface)
  const metrics = attributes.get(RouteAttribute.metrics)
  const mtu = metrics && attributesOf(metrics, 0).get(RouteAttribute.mtu)
  // IPv4 by way of an IPv6 router (RFC 5549): struct rtvia is a family and an address.
  const via = attributes.get(RouteAttribute.via)?.subarray(2)
  return {
    type,
    interfaceIndex: index ? readNumber(index, 0, 4) : 0,
    gateway: addressOf(attributes.get(RouteAttribute.gateway) ?? via),
    source: addressOf(attributes.get(RouteAttribute.source)),
    mtu: mtu ? readNumber(mtu, 0, 4) : 0,
  }
}

function addressOf(bytes: Uint8Array | undefined): Uint8Array | undefined {
  if (bytes && bytes.length !== 4 && bytes.length !== 16)
    throw malformed(`an address of ${bytes.length} bytes`)
  return bytes
}

export interface LinkEntry {
  index: number
  name: string
  /** ARPHRD_*, net/if_arp.h */
  hardware: number
  mtu: number
  address: Uint8Array
  broadcast: Uint8Array
}

/** An interface by its index, or the errno. */
export function link(socket: RoutingSocket, index: number): LinkEntry | number {
  const answer = socket.ask(
    Type.getLink,
    0,
    fixedPart([1, 0], [1, 0], [2, 0], [4, index], [4, 0], [4, 0]),
    [],
  )
  return typeof answer === 'number' ? answer : linkOf(answer)
}

/** Decodes a message of type RTM_NEWLINK. */
export function linkOf({ body }: Pick<Message, 'body'>): LinkEntry {
  const attributes = attributesOf(body, fixedBytes.link)
  const name = attributes.get(LinkAttribute.name) ?? new Uint8Array()
  const mtu = attributes.get(LinkAttribute.mtu)
  return {
    index: readNumber(body, 4, 4),
    name: Buffer.from(name).toString('utf8').replace(/\0.*$/s, ''),
    hardware: readNumber(body, 2, 2),
    mtu: mtu ? readNumber(mtu, 0, 4) : 0,
    address: attributes.get(LinkAttribute.address) ?? new Uint8Array(),
    broadcast: attributes.get(LinkAttribute.broadcast) ?? new Uint8Array(),
  }
}

export interface NeighbourEntry {
  /** no answer came */
  failed: boolean
  /** valid now; undefined while the kernel still resolves it */
  address: Uint8Array | undefined
}

/** A neighbour on an interface, or the errno: ENOENT when the kernel has no entry for it. */
export function neighbour(
  socket: RoutingSocket,
  index: number,
  destination: Uint8Array,
): NeighbourEntry | number {
  const answer = socket.ask(Type.getNeighbour, 0, neighbourPart(index, destination, 0), [
    [NeighbourAttribute.destination, destination],
  ])
  return typeof answer === 'number' ? answer : neighbourOf(answer)
}

/** Decodes a message of type RTM_NEWNEIGH. */
export function neighbourOf({ body }: Pick<Message, 'body'>): NeighbourEntry {
  const state = readNumber(body, 8, 2)
  const address = attributesOf(body, fixedBytes.neighbour).get(NeighbourAttribute.address)
  return {
    failed: (state & State.failed) !== 0,
    address: (state & State.valid) !== 0 && address && address.length > 0 ? address : undefined,
  }
}

/** Makes the kernel resolve an address: 0 or the errno, EPERM without CAP_NET_ADMIN. */
export function askNeighbour(socket: RoutingSocket, index: number, destination: Uint8Array): number {
  const answer = socket.ask(
    Type.newNeighbour,
    MessageFlag.create | MessageFlag.acknowledge,
    neighbourPart(index, destination, use),
    [[NeighbourAttribute.destination, destination]],
  )
  return typeof answer === 'number' ? answer : 0
}

function neighbourPart(index: number, destination: Uint8Array, flags: number): Uint8Array {
  return fixedPart([1, familyOf(destination)], [1, 0], [2, 0], [4, index], [2, 0], [1, flags], [1, 0])
}
