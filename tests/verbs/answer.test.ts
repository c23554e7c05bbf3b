/** A UD server that answers every client: it takes the way back from the datagram (ibv_create_ah_from_wc(3)). */
import type { Endpoint, ReceivedDatagram } from 'ibverbs'
import { describe, expect, it } from 'vitest'
import {
  completion,
  expectBytes,
  grhBytes,
  pattern,
  queueKey,
  type Side,
  thrownBy,
  useRxe,
} from '../beds/rxe.js'

const rxe = useRxe()

/** Sends `length` bytes to a given endpoint. */
async function ask(client: Side, server: Endpoint, length: number): Promise<void> {
  client.pair
    .prepareSend({
      memory: client.memory,
      addressHandle: client.domain.createAddressHandle(server),
      remoteQueuePair: server.queuePairNumber,
      remoteQueueKey: queueKey,
    })
    .post(1, 0, length)
  client.pair.submit()
  expect(await completion(client.cq)).toMatchObject({ cookie: 1, status: 'SUCCESS' })
}

describe('createAddressHandle of a datagram that came', () => {
  it.each([0, 1000])('leads back to a sender whom nobody named, of a receive at %i', async (offset) => {
    const server = rxe.side('UD', 1)
    const client = rxe.side('UD', 0)
    for (const side of [server, client]) side.pair.connect()
    server.pair.prepareReceive({ memory: server.memory }).post(5, offset, 500)
    server.pair.submit()
    client.pair.prepareReceive({ memory: client.memory }).post(6, 2000, 500)
    client.pair.submit()
    client.memory.bytes.set(pattern(100, 3))
    await ask(client, server.pair.endpoint, 100)

    expect(await server.cq.wait()).toBe(1)
    expect([server.cq.statusName(0), server.cq.byteLength[0]]).toEqual(['SUCCESS', grhBytes + 100])
    const datagram: ReceivedDatagram = { cq: server.cq, memory: server.memory, offset }
    const back = server.domain.createAddressHandle(datagram)
    expect(back.vector).toMatchObject({
      gid: client.pair.endpoint.gid,
      gidIndex: server.pair.gidIndex,
      port: 1,
      flowLabel: 0,
    })
    server.pair
      .prepareSend({
        memory: server.memory,
        addressHandle: back,
        remoteQueuePair: server.cq.sourceQueuePair[0],
        remoteQueueKey: queueKey,
      })
      .post(7, offset + grhBytes, 100)
    server.pair.submit()
    expect(await completion(client.cq)).toMatchObject({
      cookie: 6,
      status: 'SUCCESS',
      byteLength: grhBytes + 100,
      source: server.pair.number,
    })
    expectBytes(client.memory.bytes.subarray(2000 + grhBytes, 2000 + grhBytes + 100), pattern(100, 3))
  })

  it('leads to the right sender for each of two datagrams', async () => {
    const server = rxe.side('UD', 1)
    const clients = [rxe.side('UD', 0), rxe.side('UD', 1)]
    for (const side of [server, ...clients]) side.pair.connect()
    for (const [i, client] of clients.entries()) {
      server.pair.prepareReceive({ memory: server.memory }).post(i, i * 1000, 500)
      server.pair.submit()
      await ask(client, server.pair.endpoint, 10)
    }
    const gids = new Map<number, string | undefined>()
    while (gids.size < 2) {
      for (let row = 0, count = await server.cq.wait(); row < count; row++) {
        const offset = server.cq.cookie[row] * 1000
        const { vector } = server.domain.createAddressHandle({
          cq: server.cq,
          row,
          memory: server.memory,
          offset,
        })
        gids.set(server.cq.sourceQueuePair[row], vector.gid)
      }
    }
    expect(gids).toEqual(new Map(clients.map(({ pair }) => [pair.number, pair.endpoint.gid])))
  })

  it('names the fault in it', async () => {
    const server = rxe.side('UD', 1)
    const client = rxe.side('UD', 0)
    for (const side of [server, client]) side.pair.connect()
    server.pair.prepareReceive({ memory: server.memory }).post(5, 0, 500)
    server.pair.submit()
    await ask(client, server.pair.endpoint, 10)
    expect(await server.cq.wait()).toBe(1)
    const good: ReceivedDatagram = { cq: server.cq, memory: server.memory }
    const wrong: [Partial<Record<keyof ReceivedDatagram, unknown>>, string][] = [
      [{ cq: client.cq }, '"destination.cq" must be of the domain\'s own context, not '],
      [{ cq: 5 }, '"destination.cq" must be a CompletionQueue, not 5'],
      [
        { row: server.cq.batch },
        `"destination.row" must be an integer from 0 to ${server.cq.batch - 1}, not `,
      ],
      [{ memory: undefined }, '"destination.memory" must be a MemoryRegion, not undefined'],
      [{ offset: -1 }, '"destination.offset" must be an integer from 0 to '],
      [
        { offset: server.memory.length - 39 },
        '"destination.offset" must be where a receive of 40 bytes or more began, not ',
      ],
      [{ port: 2 }, '"destination.port" must be an integer from 1 to 1, not 2'],
    ]
    for (const [change, message] of wrong) {
      const error = thrownBy(() => server.domain.createAddressHandle({ ...good, ...change } as never))
      expect(error.message.startsWith(message), error.message).toBe(true)
    }
    // Bytes that are no global route header: the message itself.
    const error = thrownBy(() => server.domain.createAddressHandle({ ...good, offset: 4096 }))
    expect(error).toMatchObject({ name: 'VerbsError', syscall: 'ibv_init_ah_from_wc' })
    expect(error.message).toContain(
      'the first 40 bytes of the receive are no global route header to a GID of port 1',
    )

    // A completion of another kind.
    await ask(server, client.pair.endpoint, 10).catch(() => {})
    expect(thrownBy(() => server.domain.createAddressHandle(good)).message).toBe(
      '"destination.row" must be a row with a receive that succeeded (this is SEND, SUCCESS), not 0',
    )
  })
})
