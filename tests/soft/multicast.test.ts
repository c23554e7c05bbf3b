/** IPv4 on the software ConnectX: what a port with an IPv4 GID sends and receives, groups above all. */
import { multicastQueuePair, open } from 'ibverbs'
import { type SoftConnectX, softConnectX } from 'ibverbs/soft'
import { afterEach, expect, test } from 'vitest'
import { limit } from '../beds/limit.js'

let devices: SoftConnectX
afterEach(() => devices.close())

const queueKey = 0x11111111

function end(device: string) {
  const context = open(device)
  const domain = context.allocateProtectionDomain()
  const cq = context.createCompletionQueue(8)
  const memory = domain.registerMemory(4096)
  const pair = domain.createQueuePair({ type: 'UD', cq, maxSendWr: 4, maxReceiveWr: 4, queueKey })
  pair.connect()
  return { context, domain, cq, memory, pair }
}

test('distinguishes an IPv4 group from the IPv6 group with the same four bytes', async () => {
  devices = softConnectX({ wire: 'pair', macs: ['02:00:0a:09:00:01', '02:00:0a:09:00:02'] })
  const groups = ['::ffff:239.129.2.3', 'ff0e::ffff:239.129.2.3']
  const from = end('mlx5_soft0')
  const members = groups.map((group) => {
    const member = end('mlx5_soft1')
    member.pair.attachMulticast(group)
    member.pair.prepareReceive({ memory: member.memory }).post(1)
    member.pair.submit()
    return member
  })
  for (const [i, gid] of [...groups.entries()].reverse()) {
    const addressHandle = from.domain.createAddressHandle({ gid })
    expect(addressHandle.vector.gidIndex).toBe(i === 0 ? 1 : 0) // the sender's IPv4 GID, its link-local one
    const address = { addressHandle, remoteQueuePair: multicastQueuePair, remoteQueueKey: queueKey }
    from.pair.prepareSend({ memory: from.memory, ...address }).post(i, 0, 100 + i)
    from.pair.submit()
  }
  const signal = AbortSignal.timeout(limit)
  for (const [i, { cq, memory }] of members.entries()) {
    expect(await cq.wait({ signal })).toBe(1)
    expect([cq.statusName(0), cq.byteLength[0]]).toEqual(['SUCCESS', 140 + i])
    // Before the datagram: an IPv4 header in the last 20 bytes (InfiniBand annex A17), or an IPv6 header.
    const address = i === 0 ? [10, 9, 0, 1, 239, 129, 2, 3] : [0xff, 0xff, 239, 129, 2, 3]
    expect([...memory.bytes.subarray(40 - address.length, 40)]).toEqual(address)
    expect(memory.bytes[i === 0 ? 20 : 0] >> 4).toBe(i === 0 ? 4 : 6)
  }
  for (const { context } of [from, ...members]) context.close()
})

test('the address handle of a datagram with an IPv4 header uses an IPv4 GID', async () => {
  devices = softConnectX({ wire: 'pair', macs: ['02:00:0a:09:00:01', '02:00:0a:09:00:02'] })
  const [client, server] = [end('mlx5_soft0'), end('mlx5_soft1')]
  server.pair.prepareReceive({ memory: server.memory }).post(1)
  server.pair.submit()
  client.pair.prepareReceive({ memory: client.memory }).post(2, 1000)
  client.pair.submit()
  client.memory.bytes.fill(7, 0, 100)
  const addressHandle = client.domain.createAddressHandle({ gid: '::ffff:10.9.0.2' })
  const question = { addressHandle, remoteQueuePair: server.pair.number, remoteQueueKey: queueKey }
  client.pair.prepareSend({ memory: client.memory, ...question }).post(3, 0, 100)
  client.pair.submit()

  const signal = AbortSignal.timeout(limit)
  expect(await server.cq.wait({ signal })).toBe(1)
  const back = server.domain.createAddressHandle({ cq: server.cq, memory: server.memory })
  expect(back.vector).toMatchObject({ gid: '::ffff:10.9.0.1', gidIndex: 1, port: 1 })
  const answer = {
    addressHandle: back,
    remoteQueuePair: server.cq.sourceQueuePair[0],
    remoteQueueKey: queueKey,
  }
  server.pair.prepareSend({ memory: server.memory, ...answer }).post(4, 40, 100)
  server.pair.submit()
  const cookies: number[] = []
  while (cookies.length < 2) {
    const count = await client.cq.wait({ signal })
    for (let row = 0; row < count; row++) {
      expect(client.cq.statusName(row)).toBe('SUCCESS')
      cookies.push(client.cq.cookie[row])
    }
  }
  expect(cookies.sort()).toEqual([2, 3])
  expect(client.memory.bytes.subarray(1040, 1140)).toEqual(new Uint8Array(100).fill(7))
  for (const { context } of [client, server]) context.close()
})

test('RTR between an IPv4 and an IPv6 GID is refused in words', () => {
  devices = softConnectX({ wire: 'pair', macs: ['02:00:0a:09:00:01', '02:00:0a:09:00:02'] })
  const context = open('mlx5_soft0')
  const cq = context.createCompletionQueue(8)
  const pair = context
    .allocateProtectionDomain()
    .createQueuePair({ type: 'UC', cq, maxSendWr: 4, maxReceiveWr: 4 })
  pair.initialize()
  const attributes = { state: 'RTR', pathMtu: 1024, destQpNum: 1, rqPsn: 0 } as const
  for (const [gid, gidIndex] of [
    ['::ffff:10.9.0.2', 0],
    ['fe80::aff:fe09:2', 1],
  ] as const) {
    expect(() => pair.modify({ ...attributes, addressVector: { gid, gidIndex } })).toThrow(
      new RegExp(`^EINVAL: ibv_modify_qp: the GID ${gid} is .* at index ${gidIndex} of port 1, .*same kind`),
    )
    expect(pair.state).toBe('INIT')
  }
  pair.modify({ ...attributes, addressVector: { gid: '::ffff:10.9.0.2', gidIndex: 1 } })
  expect(pair.state).toBe('RTR')
  context.close()
})
