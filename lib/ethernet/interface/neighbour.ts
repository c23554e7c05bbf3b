import { createSocket } from 'node:dgram'
import { constants } from 'node:os'
import { VerbsError, verbsError } from '../../errors.js'
import { neighbourGroup, RoutingSocket } from './netlink/routing-socket.js'
import { askNeighbour, type LinkEntry, neighbour } from './netlink/tables.js'

/** The discard port (RFC 863), whose server drops every datagram. */
const discardPort = 9

export interface NeighbourRequest {
  device: LinkEntry
  /** the address to resolve */
  hop: Uint8Array
  /** the user's destination, as text and as bytes */
  destination: string
  address: Uint8Array
  text(address: Uint8Array): string
  /** milliseconds */
  timeout: number
  signal: AbortSignal | undefined
}

/**
 * The hardware address of the next hop, from the neighbour table; where it is not known, the function makes the kernel
 * resolve it and waits.
 *
 * Every message about the neighbour table makes the function look at the table again, so that it misses no change
 * between a look and a wait, and a lost message costs nothing.
 */
export async function awaitNeighbour(socket: RoutingSocket, request: NeighbourRequest): Promise<Uint8Array> {
  const { device, hop, destination, text, timeout, signal } = request
  const look = (): ReturnType<typeof neighbour> => neighbour(socket, device.index, hop)
  const known = look()
  if (typeof known !== 'number' && known.address) return known.address

  const who = `${text(hop)} on "${device.name}", the next hop to ${destination}`
  let settle: { resolve(address: Uint8Array): void; reject(reason: unknown): void } | undefined
  const done = new Promise<Uint8Array>((resolve, reject) => {
    settle = { resolve, reject }
  })
  /** An entry that failed earlier counts only after a new attempt. */
  let asked = false
  const check = (): void => {
    try {
      events.drain()
      const entry = look()
      if (typeof entry === 'number') {
        if (entry !== constants.errno.ENOENT) throw new VerbsError(entry, 'RTM_GETNEIGH', who)
        if (asked) throw verbsError('EHOSTUNREACH', 'RTM_GETNEIGH', `${who}, was removed from the table`)
      } else if (entry.address) {
        settle?.resolve(entry.address)
      } else if (!entry.failed) {
        asked = true
      } else if (asked) {
        throw verbsError('ETIMEDOUT', 'RTM_GETNEIGH', `no answer from ${who}`)
      }
    } catch (error) {
      settle?.reject(error)
    }
  }
  const events = new RoutingSocket(neighbourGroup, check)
  const aborted = (): void => settle?.reject(signal?.reason)
  const timer = setTimeout(
    () => settle?.reject(verbsError('ETIMEDOUT', 'RTM_GETNEIGH', `no answer in ${timeout} ms from ${who}`)),
    timeout,
  )
  signal?.addEventListener('abort', aborted)
  try {
    const refused = askNeighbour(socket, device.index, hop)
    if (refused === constants.errno.EPERM) sendDatagram(request, check, (error) => settle?.reject(error))
    else if (refused !== 0) throw new VerbsError(refused, 'RTM_NEWNEIGH', who)
    check()
    return await done
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', aborted)
    events.close()
  }
}

/** Without CAP_NET_ADMIN: a datagram to the destination makes the kernel resolve the next hop. */
function sendDatagram(
  { address, device, text }: NeighbourRequest,
  sent: () => void,
  failed: (error: unknown) => void,
): void {
  const ipv6 = address.length === 16
  const to = ipv6 && address[0] === 0xfe ? `${text(address)}%${device.name}` : text(address)
  const socket = createSocket(ipv6 ? 'udp6' : 'udp4')
  socket.on('error', failed)
  socket.send(new Uint8Array(), discardPort, to, (error) => {
    socket.close()
    if (error) failed(error)
    else sent()
  })
}
