/** Target of `generate`: a MAC address, or an IP address and a UDP port. */
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { isIPv4, isIPv6 } from 'node:net'
import type { FlowRule } from '../../ethernet/index.js'
import { EtherType } from '../../headers/assigned-numbers.js'
import type { Target } from '../traffic/generated-frame.js'
import { UsageError } from '../usage.js'

/** The discard protocol, RFC 863. */
const defaultPort = 9

export interface Destination {
  /** Without a source address, the queue's is used. */
  target: Omit<Target, 'sourceMac'> & Partial<Pick<Target, 'sourceMac'>>
  /** Selects the frames that come back from the target. */
  flows: FlowRule[]
  /** Describes the target for people. */
  text: string
  /** Releases the source port. */
  close(): void
}

/** The value of --to: either a MAC address, or an IP address and a port. */
export type Address = { mac: string } | { host: string; port: number }

/** @throws UsageError */
export function addressOption(text: string | undefined): Address {
  if (text === undefined) throw new UsageError('--to is missing: a MAC address, or an IP address and a port')
  if (/^[\da-f]{2}([:-][\da-f]{2}){5}$/i.test(text)) return { mac: text }
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^[\]]+?))(?::(\d+))?$/.exec(text) ?? []
  // 'fe80::1:9' is an address: an IPv6 address needs brackets before a port.
  const host = isIPv6(text.split('%')[0]) ? text : (bracketed ?? plain)
  const number = host === text || port === undefined ? defaultPort : Number(port)
  const known = host !== undefined && (isIPv4(host) || isIPv6(host.split('%')[0]))
  if (!known || number < 1 || number > 65535) {
    throw new UsageError(
      `--to must be a MAC address, or ADDRESS or ADDRESS:PORT ([ADDRESS]:PORT for IPv6), not '${text}'`,
    )
  }
  return { host, port: number }
}

/** Finds the route to an address through this interface. @throws VerbsError of resolve(); the signal's reason */
export async function destinationOf(
  address: Address,
  name: string,
  signal: AbortSignal,
): Promise<Destination> {
  const { parseMac, resolve } = await import('../../ethernet/index.js')
  if ('mac' in address) {
    return {
      target: { destinationMac: parseMac(address.mac) },
      flows: [{ etherType: EtherType.localExperimental1 }],
      text: address.mac,
      close: () => {},
    }
  }
  const { host, port } = address
  const route = await resolve(host, { interface: name, signal })
  if (route.source === null) throw new Error(`${name} has no address to send to ${host} from`)
  const { destination } = route
  const holder = await holdPort(destination)
  return {
    target: {
      destinationMac: parseMac(route.destinationMac),
      sourceMac: parseMac(route.sourceMac),
      ip: { source: route.source, destination, sourcePort: holder.address().port, destinationPort: port },
    },
    flows: [{ protocol: 'udp', source: destination, destinationPort: holder.address().port }],
    text: `${destination} port ${port}`,
    close: () => holder.close(),
  }
}

/**
 * Reserves one of the kernel's UDP ports: without a socket on it, the kernel would answer returning frames with "port
 * unreachable".
 */
async function holdPort(destination: string): Promise<Socket> {
  const socket = createSocket({ type: isIPv4(destination) ? 'udp4' : 'udp6', recvBufferSize: 1 })
  socket.unref()
  socket.bind(0)
  await once(socket, 'listening')
  return socket
}
