// Multicast groups (ibv_attach_mcast(3)): the queue pairs that get a copy of a datagram.
import { createSocket } from 'node:dgram'
import { multicastQueuePair } from 'ibverbs'
import { afterEach, describe, expect, it } from 'vitest'
import {
  completion,
  expectBytes,
  grhBytes,
  netdevs,
  pattern,
  queueKey,
  type Side,
  soft,
  thrownBy,
  useRxe,
} from '../beds/rxe.js'

const rxe = useRxe()

const members: (() => void)[] = []
afterEach(() => {
  for (const leave of members.splice(0)) leave()
})

/** The kernel passes rxe only the groups that its interface has joined; the software ConnectX has no kernel before it. */
async function join(group: string, netdev: string): Promise<void> {
  if (soft) return
  const socket = createSocket('udp6')
  members.push(() => socket.close())
  await new Promise<void>((resolve) => socket.bind(0, resolve))
  socket.addMembership(group, `::%${netdev}`)
}

function send(from: Side, gid: string, remoteQueuePair: number, length: number): void {
  const addressHandle = from.domain.createAddressHandle({ gid })
  from.pair
    .prepareSend({ memory: from.memory, addressHandle, remoteQueuePair, remoteQueueKey: queueKey })
    .post(1, 0, length)
  expect(from.pair.submit()).toBe(1)
}

/** Expects that the next datagram at this side is a group's, of `length` bytes. */
async function expectDatagram(to: Side, length: number): Promise<Uint8Array> {
  expect(await completion(to.cq)).toMatchObject({
    status: 'SUCCESS',
    opcode: 'RECV',
    byteLength: grhBytes + length,
  })
  expectBytes(to.memory.bytes.subarray(grhBytes, grhBytes + length), pattern(length, 3))
  const grh = to.memory.bytes.slice(0, grhBytes)
  to.pair.prepareReceive({ memory: to.memory }).post(2)
  to.pair.submit()
  return grh
}

/** A sender and `count` receivers on the other device, ready for datagrams. */
function ends(count: number): [Side, Side[]] {
  const from = rxe.side('UD', 0, { queueKey })
  from.pair.connect()
  from.memory.bytes.set(pattern(1000, 3))
  const receivers = Array.from({ length: count }, () => rxe.side('UD', 1, { queueKey }))
  for (const { pair, memory } of receivers) {
    pair.connect()
    pair.prepareReceive({ memory }).post(2)
    pair.submit()
  }
  return [from, receivers]
}

describe('a multicast group', () => {
  it.each(['ff12::4:1234', 'ff0e::ffff:239.129.2.3'])(
    '%s: each member gets its copy, and nobody else',
    async (group) => {
      const [from, [first, second, stranger]] = ends(3)
      await join(group, netdevs[1])
      first.pair.attachMulticast(group)
      first.pair.attachMulticast(group) // attached twice, detached once
      second.pair.attachMulticast(group)
      send(from, group, multicastQueuePair, 500)
      for (const member of [first, second]) {
        const grh = await expectDatagram(member, 500)
        expect(grh[0] >> 4).toBe(6) // an IPv6 header
        expect(grh[24]).toBe(0xff)
        expect([...grh.subarray(38)]).toEqual(group.endsWith('1234') ? [0x12, 0x34] : [2, 3])
      }
      // The stranger's next datagram is its own.
      send(from, stranger.pair.endpoint.gid, stranger.pair.number, 7)
      await expectDatagram(stranger, 7)

      first.pair.detachMulticast(group)
      send(from, group, multicastQueuePair, 600)
      await expectDatagram(second, 600)
      send(from, first.pair.endpoint.gid, first.pair.number, 8)
      await expectDatagram(first, 8)
      expect(thrownBy(() => first.pair.detachMulticast(group))).toMatchObject({
        name: 'VerbsError',
        code: 'EINVAL',
        syscall: 'ibv_detach_mcast',
        message: expect.stringContaining(group),
      })
    },
  )

  it('loses a queue pair that is closed, alone or with its context', async () => {
    const [, [first, second]] = ends(2)
    for (const group of ['ff12::1', 'ff12::2', '::ffff:239.1.2.3']) first.pair.attachMulticast(group)
    first.pair.close() // the kernel would return EBUSY for a member
    second.pair.attachMulticast('ff12::1')
    second.context.close()
  })

  it('takes UD queue pairs and the GIDs of groups', () => {
    const [, [{ pair }]] = ends(1)
    for (const gid of ['::', 'fe80::1', '::ffff:223.255.255.255', '::ffff:240.0.0.1', '::239.1.2.3']) {
      expect(thrownBy(() => pair.attachMulticast(gid))).toMatchObject({ code: 'ERR_OUT_OF_RANGE' })
      expect(thrownBy(() => pair.detachMulticast(gid))).toMatchObject({ code: 'ERR_OUT_OF_RANGE' })
    }
    expect(thrownBy(() => pair.attachMulticast(7 as never)).code).toBe('ERR_INVALID_ARG_TYPE')
    expect(thrownBy(() => pair.attachMulticast('ff12::1', 65536)).code).toBe('ERR_OUT_OF_RANGE')
    pair.attachMulticast('::ffff:224.0.0.1')
    pair.attachMulticast('0:0::FFFF:efff:ffff') // the same group in another spelling, of 239.255.255.255
    pair.detachMulticast('::ffff:239.255.255.255')
    const connected = rxe.side('RC').pair
    expect(thrownBy(() => connected.attachMulticast('ff12::1')).code).toBe('ENOTSUP')
    pair.close()
    expect(thrownBy(() => pair.attachMulticast('ff12::1')).code).toBe('ERR_IBVERBS_CLOSED')
  })

  it('of the other family refuses a sender’s GID that it would not receive from', () => {
    const [from] = ends(0)
    const [own] = from.context.queryGidTable()
    expect(thrownBy(() => from.domain.createAddressHandle({ gid: '::ffff:239.1.2.3' }))).toMatchObject({
      code: 'EADDRNOTAVAIL',
      message: expect.stringContaining('has no IPv4 GID to reach ::ffff:239.1.2.3 from'),
    })
    expect(
      thrownBy(() => from.domain.createAddressHandle({ gid: '::ffff:239.1.2.3', gidIndex: own.index })),
    ).toMatchObject({
      code: 'EINVAL',
      syscall: 'ibv_create_ah',
      message: expect.stringMatching(
        /::ffff:239\.1\.2\.3 is IPv4 and the one to send from, fe80:.* at index 0 of port 1, link-local/,
      ),
    })
  })
})
