import { once } from 'node:events'
import { createConnection, createServer, type Socket } from 'node:net'
import { describe, expect, test } from 'vitest'
import {
  type Destination,
  decodeDestination,
  ExchangeServer,
  encodeDestination,
  exchangeAsClient,
} from '../../dist/cli/ping/exchange.js'
import { gidFromWire, gidToWire } from '../../dist/cli/ping/gid.js'

const client: Destination = {
  lid: 0,
  queuePairNumber: 0x11,
  packetSequenceNumber: 0xabcdef,
  gid: 'fe80::ff:fe00:a0',
}
const server: Destination = {
  lid: 0x1f,
  queuePairNumber: 0x12,
  packetSequenceNumber: 1,
  gid: '::ffff:10.0.0.1',
}
// By hand, after the format in rc_pingpong.c: "%04x:%06x:%06x:%s" and the zero that ends it.
const clientMessage = '0000:000011:abcdef:fe80000000000000000000fffe0000a0\0'
const serverMessage = '001f:000012:000001:00000000000000000000ffff0a000001\0'
const never = new AbortController().signal

describe('the message', () => {
  test('has 52 bytes', () => {
    expect(encodeDestination(client).toString('latin1')).toBe(clientMessage)
    expect(encodeDestination(server).toString('latin1')).toBe(serverMessage)
    expect(clientMessage).toHaveLength(52)
  })

  test('is read back', () => {
    expect(decodeDestination(Buffer.from(clientMessage))).toEqual(client)
    expect(decodeDestination(Buffer.from(serverMessage))).toEqual(server)
  })

  test('without a GID has zeros', () => {
    const message = `0001:000011:abcdef:${'0'.repeat(32)}\0`
    expect(encodeDestination({ ...client, lid: 1, gid: null }).toString('latin1')).toBe(message)
    expect(decodeDestination(Buffer.from(message))).toEqual({ ...client, lid: 1, gid: null })
  })

  test.each([
    ['GET / HTTP/1.1\r\nHost: example.com\r\nUser-Agent: x/1.0\r\n'],
    [clientMessage.replace('\0', '0')],
    [clientMessage.replace(':', ';')],
    [clientMessage.replace('fe80', 'ge80')],
  ])('%j is none', (text) => {
    expect(() => decodeDestination(Buffer.from(text))).toThrow(
      `the peer does not speak the ping-pong protocol: it sent ${JSON.stringify(text)}`,
    )
  })
})

describe('a GID', () => {
  test.each([
    ['fe80::ff:fe00:a0', 'fe80000000000000000000fffe0000a0'],
    ['::ffff:10.0.0.1', '00000000000000000000ffff0a000001'],
    ['::1', '00000000000000000000000000000001'],
    ['2001:db8::', '20010db8000000000000000000000000'],
    ['2001:db8:1:2:3:4:5:6', '20010db8000100020003000400050006'],
    ['2001:0:0:1::1', '20010000000000010000000000000001'],
  ])('%s goes over the wire as %s, and comes back', (gid, wire) => {
    expect(gidToWire(gid)).toBe(wire)
    expect(gidFromWire(wire)).toBe(gid)
  })

  test.each([
    '',
    'fe80',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    'fe80::x',
    '12345::',
    '::ffff:300.0.0.1',
  ])('%j is none', (text) => {
    expect(() => gidToWire(text)).toThrow(new SyntaxError(`'${text}' is not a GID`))
  })
})

describe('the exchange', () => {
  test("gives each side the other's address, the client's when the server is ready", async () => {
    const listening = await ExchangeServer.listen(0, never)
    const order: string[] = []
    const served = listening.exchange((remote) => {
      expect(remote).toEqual(client)
      order.push('ready')
      return server
    }, never)
    const learnt = await exchangeAsClient('127.0.0.1', listening.port, client, never)
    order.push('told')
    expect(learnt).toEqual({ remote: server, sameHost: true })
    expect(await served).toEqual({ remote: client, sameHost: true })
    expect(order).toEqual(['ready', 'told'])
  })

  /** A peer played by hand; `talk` gets its end of the connection. */
  async function peerServer(talk: (socket: Socket) => void): Promise<{ port: number; close(): void }> {
    const peer = createServer(talk)
    peer.listen(0, '127.0.0.1')
    await once(peer, 'listening')
    return { port: (peer.address() as { port: number }).port, close: () => peer.close() }
  }

  test('is byte for byte that of rdma-core, as client', async () => {
    const heard: Buffer[] = []
    const ended = new Promise<void>((resolve) => {
      peerServer((socket) => {
        socket.on('data', (part) => {
          heard.push(part)
          if (Buffer.concat(heard).length === 52) socket.write(serverMessage)
        })
        socket.on('close', () => resolve())
      }).then(async ({ port, close }) => {
        expect(await exchangeAsClient('127.0.0.1', port, client, never)).toMatchObject({ remote: server })
        close()
      })
    })
    await ended
    expect(Buffer.concat(heard).toString('latin1')).toBe(`${clientMessage}done\0`)
  })

  test('is byte for byte that of rdma-core, as server, however TCP cuts the bytes', async () => {
    const listening = await ExchangeServer.listen(0, never)
    const served = listening.exchange(() => server, never)
    const socket = createConnection({ port: listening.port, host: '127.0.0.1', noDelay: true })
    const heard: Buffer[] = []
    socket.on('data', (part) => heard.push(part))
    for (const letter of clientMessage) {
      await new Promise((resolve) => socket.write(letter, resolve))
    }
    while (Buffer.concat(heard).length < 52) await once(socket, 'data')
    expect(Buffer.concat(heard).toString('latin1')).toBe(serverMessage)
    socket.write('done\0')
    expect(await served).toEqual({ remote: client, sameHost: true })
    await once(socket, 'close')
  })

  test('says that nothing listens there', async () => {
    const { port, close } = await peerServer(() => {})
    close()
    await expect(exchangeAsClient('127.0.0.1', port, client, never)).rejects.toThrow(
      `nothing listens on 127.0.0.1:${port}; start 'ibverbs ping --listen' there first`,
    )
  })

  test('says that the peer went away', async () => {
    const { port, close } = await peerServer((socket) => {
      socket.resume()
      socket.end(serverMessage.slice(0, 10))
    })
    await expect(exchangeAsClient('127.0.0.1', port, client, never)).rejects.toThrow(
      `127.0.0.1:${port}: closed the connection after 10 of 52 bytes`,
    )
    close()
  })

  test('says that something else listens there', async () => {
    const { port, close } = await peerServer((socket) => {
      socket.resume()
      socket.end('SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3 and so on until 52 bytes')
    })
    await expect(exchangeAsClient('127.0.0.1', port, client, never)).rejects.toThrow(
      /^127\.0\.0\.1:\d+: the peer does not speak the ping-pong protocol/,
    )
    close()
  })

  test.each(['client', 'server'])('ends at once when the %s is interrupted', async (side) => {
    const stop = new AbortController()
    const { port, close } = await peerServer((socket) => {
      socket.resume()
      stop.abort()
      socket.on('error', () => {})
    })
    const pending =
      side === 'client'
        ? exchangeAsClient('127.0.0.1', port, client, stop.signal)
        : ExchangeServer.listen(0, stop.signal).then((listening) => {
            const waiting = listening.exchange(() => server, stop.signal)
            stop.abort()
            return waiting.finally(() => listening.close())
          })
    await expect(pending).rejects.toMatchObject({ name: 'AbortError' })
    close()
  })

  test('gives up a port that is taken, with its name', async () => {
    const first = await ExchangeServer.listen(0, never)
    await expect(ExchangeServer.listen(first.port, never)).rejects.toMatchObject({ code: 'EADDRINUSE' })
    first.close()
  })
})
