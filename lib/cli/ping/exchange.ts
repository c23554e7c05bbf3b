/**
 * How the two ends of a ping exchange addresses: over TCP, exactly as rdma-core's ibv_rc_pingpong, ibv_uc_pingpong and
 * ibv_ud_pingpong do (libibverbs/examples/rc_pingpong.c), so that any of them can be the peer.
 *
 * The client sends its address, 52 bytes "LLLL:QQQQQQ:PPPPPP:GGGG…" (LID, queue pair number, packet sequence number, GID, in
 * hexadecimal, and a zero byte). The server makes its queue pair ready and sends its own; the client sends "done" and a zero
 * byte. The server must be ready before it replies, because the client sends its first message at once.
 */
import { once } from 'node:events'
import { createConnection, createServer, type Server, type Socket } from 'node:net'
import { gidFromWire, gidToWire, noGid } from './gid.js'

/** Address of a queue pair. */
export interface Destination {
  lid: number
  queuePairNumber: number
  packetSequenceNumber: number
  /** Null for a peer without one: it was given no GID index, or its fabric needs none. */
  gid: string | null
}

/** The result of an exchange. */
export interface Met {
  remote: Destination
  /** Whether both ends are on this machine: the TCP connection's two addresses are then equal. */
  sameHost: boolean
}

const messageLength = 52
const done = Buffer.from('done\0', 'latin1')

/** Milliseconds for the peer's reply. Both ends reply at once. */
const answerTimeout = 10_000

export function encodeDestination({ lid, queuePairNumber, packetSequenceNumber, gid }: Destination): Buffer {
  const hex = (value: number, digits: number) => value.toString(16).padStart(digits, '0')
  const wire = gid === null ? noGid : gidToWire(gid)
  return Buffer.from(
    `${hex(lid, 4)}:${hex(queuePairNumber, 6)}:${hex(packetSequenceNumber, 6)}:${wire}\0`,
    'latin1',
  )
}

/** @throws Error when the bytes are no such message: a program of another kind listens on that port, or connects to it */
export function decodeDestination(message: Uint8Array): Destination {
  const text = Buffer.from(message).toString('latin1')
  const match = /^([\da-f]{4}):([\da-f]{6}):([\da-f]{6}):([\da-f]{32})\0$/i.exec(text)
  if (!match)
    throw new Error(`the peer does not speak the ping-pong protocol: it sent ${JSON.stringify(text)}`)
  const [lid, queuePairNumber, packetSequenceNumber] = match
    .slice(1, 4)
    .map((digits) => Number.parseInt(digits, 16))
  // Without -g, rdma-core's programs send a GID of zeros.
  const gid = match[4] === noGid ? null : gidFromWire(match[4])
  return { lid, queuePairNumber, packetSequenceNumber, gid }
}

/** The client's part: connects, sends its address, receives the server's. */
export async function exchangeAsClient(
  host: string,
  port: number,
  local: Destination,
  signal: AbortSignal,
): Promise<Met> {
  const socket = createConnection({ host, port, signal })
  // The awaited operations report errors; without a listener, an error between them would end the process.
  socket.on('error', () => {})
  try {
    await within(once(socket, 'connect', { signal }), `${host}:${port} did not answer`)
    socket.setNoDelay(true)
    socket.write(encodeDestination(local))
    const remote = decodeDestination(await read(socket, messageLength, signal))
    // The server reads these bytes with one read() and needs all of them.
    await new Promise<void>((resolve, reject) => {
      socket.write(done, (error) => (error ? reject(error) : resolve()))
    })
    return { remote, sameHost: isSameHost(socket) }
  } catch (cause) {
    throw explain(cause, `${host}:${port}`)
  } finally {
    socket.destroy()
  }
}

/** A server for one client. */
export class ExchangeServer {
  readonly #server: Server

  private constructor(server: Server) {
    this.#server = server
  }

  /** @param port 0 for any free one: {@link ExchangeServer.port} returns it */
  static async listen(port: number, signal: AbortSignal): Promise<ExchangeServer> {
    const server = createServer()
    server.listen({ port })
    await once(server, 'listening', { signal })
    return new ExchangeServer(server)
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port
  }

  /**
   * The server's part: receives the client's address, makes the queue pair ready, sends its own.
   *
   * @param ready makes the queue pair ready for the client and returns its address, which is sent after that
   */
  async exchange(ready: (remote: Destination) => Destination, signal: AbortSignal): Promise<Met> {
    const [socket] = (await once(this.#server, 'connection', { signal })) as [Socket]
    // One client only: rdma-core's servers stop listening here, too.
    this.close()
    const peer = `${socket.remoteAddress}:${socket.remotePort}`
    socket.on('error', () => {})
    try {
      socket.setNoDelay(true)
      const remote = decodeDestination(await read(socket, messageLength, signal))
      socket.write(encodeDestination(ready(remote)))
      await read(socket, done.length, signal)
      return { remote, sameHost: isSameHost(socket) }
    } catch (cause) {
      throw explain(cause, peer)
    } finally {
      socket.destroy()
    }
  }

  close(): void {
    this.#server.close()
  }
}

function isSameHost({ localAddress, remoteAddress }: Socket): boolean {
  return localAddress === remoteAddress
}

/** Exactly `length` bytes, however TCP splits them. The peer sends no more until it has a reply. */
async function read(socket: Socket, length: number, signal: AbortSignal): Promise<Buffer> {
  const stop = new AbortController()
  const ended = AbortSignal.any([signal, stop.signal])
  const receive = async () => {
    const parts: Buffer[] = []
    let count = 0
    const whole = new Promise<void>((resolve) => {
      socket.on('data', (part: Buffer) => {
        parts.push(part)
        count += part.length
        if (count >= length) resolve()
      })
    })
    const gone = once(socket, 'end', { signal: ended })
    gone.catch(() => {})
    socket.resume()
    await Promise.race([whole, gone])
    socket.pause().removeAllListeners('data')
    if (count < length) throw new Error(`closed the connection after ${count} of ${length} bytes`)
    return Buffer.concat(parts).subarray(0, length)
  }
  try {
    return await within(receive(), `sent nothing for ${answerTimeout / 1000} s`)
  } finally {
    stop.abort()
  }
}

/** Rejects a promise that does not settle in time. */
async function within<T>(promise: Promise<T>, complaint: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(complaint)), answerTimeout)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
    promise.catch(() => {})
  }
}

function explain(cause: unknown, peer: string): unknown {
  if (!(cause instanceof Error) || cause.name === 'AbortError') return cause
  if ((cause as NodeJS.ErrnoException).code === 'ECONNREFUSED') {
    return new Error(`nothing listens on ${peer}; start 'ibverbs ping --listen' there first`, { cause })
  }
  return new Error(`${peer}: ${cause.message}`, { cause })
}
