import { CompletionFlag } from 'ibverbs'
import { describe, expect, it } from 'vitest'
import {
  completion,
  completions,
  expectBytes,
  grhBytes,
  names,
  outcome,
  pattern,
  queueKey,
  type Side,
  soft,
  thrownBy,
  useRxe,
} from '../beds/rxe.js'

const rxe = useRxe()

/** Prepares a send from one side to the other. */
function prepare(from: Side, to: Side, options: object = {}) {
  const addressHandle = from.domain.createAddressHandle(to.pair.endpoint)
  return from.pair.prepareSend({
    memory: from.memory,
    addressHandle,
    remoteQueuePair: to.pair.number,
    remoteQueueKey: queueKey,
    ...options,
  })
}

/** The 16 bytes of a GID in its canonical spelling. */
function gidBytes(gid: string): number[] {
  const [head, tail = ''] = gid.split('::')
  const groups = (text: string) => text.split(':').filter(Boolean)
  const middle = Array(8 - groups(head).length - groups(tail).length).fill('0')
  return [...groups(head), ...middle, ...groups(tail)].flatMap((group) => {
    const value = Number.parseInt(group, 16)
    return [value >> 8, value & 0xff]
  })
}

describe('UD', () => {
  it.each([0, 1, 2, 1023, 1024])('sends %i bytes both ways, behind a GRH of 40 bytes', async (size) => {
    const sides = rxe.connected('UD')
    for (const [a, b] of [sides, [...sides].reverse() as [Side, Side]]) {
      const sent = pattern(size, size + 2)
      a.memory.bytes.set(sent, 9)
      b.memory.bytes.fill(0xee)
      b.pair.prepareReceive({ memory: b.memory }).post(3, 16, grhBytes + size)
      b.pair.submit()
      prepare(a, b).post(4, 9, size)
      expect(a.pair.submit()).toBe(1)
      const done = await completion(b.cq)
      expect(done).toMatchObject({
        cookie: 3,
        status: 'SUCCESS',
        opcode: 'RECV',
        byteLength: grhBytes + size,
        queuePair: b.pair.number,
        source: a.pair.number,
      })
      expect((done.flags ?? 0) & CompletionFlag.GRH).toBe(CompletionFlag.GRH)
      expectBytes(b.memory.bytes.subarray(16 + grhBytes, 16 + grhBytes + size), sent)
      expectBytes(
        b.memory.bytes.subarray(16 + grhBytes + size, 200 + grhBytes + size),
        new Uint8Array(184).fill(0xee),
      )
      // RoCE v2 over IPv6: the GRH is the IPv6 header (IBA A17.4.5.2): version, next header UDP, hop limit, GIDs.
      const grh = b.memory.bytes.subarray(16, 16 + grhBytes)
      expect(grh[0] >> 4).toBe(6)
      expect(grh[6]).toBe(17)
      expect(grh[7]).toBe(64)
      expect([...grh.subarray(8, 24)]).toEqual(gidBytes(a.pair.endpoint.gid))
      expect([...grh.subarray(24, 40)]).toEqual(gidBytes(b.pair.endpoint.gid))
      expect(await completion(a.cq)).toMatchObject({ cookie: 4, status: 'SUCCESS', opcode: 'SEND' })
    }
  })

  it('sends immediate data', async () => {
    const [a, b] = rxe.connected('UD')
    b.pair.prepareReceive({ memory: b.memory }).post(1)
    b.pair.submit()
    prepare(a, b, { immediate: 0xfedcba98 }).post(2, 0, 5)
    a.pair.submit()
    expect(await completion(b.cq)).toMatchObject({ immediate: 0xfedcba98, byteLength: 45 })
  })

  it('sends inline, gathers and scatters', async () => {
    const [a, b] = rxe.connected('UD', { maxSendSge: 2, maxReceiveSge: 2, maxInline: 64 })
    // The GRH separate from the message, as servers receive it.
    const places = [
      { memory: b.memory, offset: 5000, length: grhBytes },
      { memory: b.memory, offset: 0, length: 1000 },
    ]
    const receive = b.pair.prepareReceive({ elements: places })
    receive.post(1)
    b.pair.submit()
    a.memory.bytes.set(pattern(64, 1), 10)
    prepare(a, b, { inline: true }).post(2, 10, 64)
    a.pair.submit()
    a.memory.bytes.fill(0)
    expect(await completion(b.cq)).toMatchObject({ byteLength: grhBytes + 64 })
    expectBytes(b.memory.bytes.subarray(0, 64), pattern(64, 1))

    receive.post(3)
    b.pair.submit()
    a.memory.bytes.set(pattern(900, 2))
    const elements = [
      { memory: a.memory, offset: 0, length: 300 },
      { memory: a.memory, offset: 300, length: 600 },
    ]
    prepare(a, b, { memory: undefined, elements }).post(4)
    a.pair.submit()
    expect(await completion(b.cq)).toMatchObject({ cookie: 3, byteLength: grhBytes + 900 })
    expectBytes(b.memory.bytes.subarray(0, 900), pattern(900, 2))
  })

  it('talks to several peers, each named in the completion', async () => {
    const [a, b] = rxe.connected('UD')
    const cq = b.context.createCompletionQueue(128)
    const other = b.domain.createQueuePair({ type: 'UD', cq, queueKey: 5 })
    other.connect()
    expect(other.endpoint.queueKey).toBe(5)
    b.pair.prepareReceive({ memory: b.memory }).post(1, 0, 100)
    b.pair.submit()
    other.prepareReceive({ memory: b.memory }).post(2, 100, 100)
    other.submit()
    const send = prepare(a, b)
    const first = send.destination
    send.post(1, 0, 10)
    expect(send.to(first as NonNullable<typeof first>, other.number, 5)).toBe(send)
    send.post(2, 0, 20)
    expect(a.pair.submit()).toBe(2)
    expect(await completion(b.cq)).toMatchObject({ cookie: 1, byteLength: 50, source: a.pair.number })
    expect(await completion(cq)).toMatchObject({ cookie: 2, byteLength: 60, queuePair: other.number })
  })

  it('answers to the sender of a datagram', async () => {
    const [a, b] = rxe.connected('UD')
    b.pair.prepareReceive({ memory: b.memory }).post(1)
    b.pair.submit()
    a.pair.prepareReceive({ memory: a.memory }).post(2)
    a.pair.submit()
    prepare(a, b).post(3, 0, 1)
    a.pair.submit()
    const { source } = await completion(b.cq)
    const gid = Array.from({ length: 8 }, (_, i) =>
      ((b.memory.bytes[8 + 2 * i] << 8) | b.memory.bytes[9 + 2 * i]).toString(16),
    ).join(':')
    const addressHandle = b.domain.createAddressHandle({ gid })
    b.pair
      .prepareSend({ memory: b.memory, addressHandle, remoteQueuePair: source, remoteQueueKey: queueKey })
      .post(4, 0, 7)
    b.pair.submit()
    expect(outcome(await completions(a.cq, 2)).sort()).toEqual([
      [2, 'SUCCESS'],
      [3, 'SUCCESS'],
    ])
  })

  it('puts the traffic class on the wire', async () => {
    const [a, b] = rxe.connected('UD')
    const addressHandle = a.domain.createAddressHandle({
      gid: b.pair.endpoint.gid,
      trafficClass: 0xb8,
      hopLimit: 9,
      flowLabel: 0x12345,
    })
    expect(addressHandle.vector).toMatchObject({
      gid: b.pair.endpoint.gid,
      gidIndex: 0,
      port: 1,
      trafficClass: 0xb8,
      hopLimit: 9,
      flowLabel: 0x12345,
    })
    b.pair.prepareReceive({ memory: b.memory }).post(1)
    b.pair.submit()
    prepare(a, b, { addressHandle }).post(2, 0, 1)
    a.pair.submit()
    await completion(b.cq)
    expect(((b.memory.bytes[0] << 4) | (b.memory.bytes[1] >> 4)) & 0xff).toBe(0xb8)
    // rxe asks the kernel for the address vector, and ib_core the routing table for the hop limit
    // (ib_resolve_unicast_gid_dmac); libmlx5 puts its own into each request.
    expect(b.memory.bytes[7]).toBe(soft ? 9 : 64)
  })

  it('loses a datagram with a wrong queue key, and takes the next', async () => {
    const [a, b] = rxe.connected('UD')
    const receive = b.pair.prepareReceive({ memory: b.memory })
    receive.post(1)
    receive.post(2)
    b.pair.submit()
    const send = prepare(a, b, { remoteQueueKey: 0x22222222 })
    send.post(3, 0, 10)
    send.to(send.destination as NonNullable<typeof send.destination>, b.pair.number, queueKey)
    send.post(4, 0, 20)
    expect(a.pair.submit()).toBe(2)
    expect(await completion(b.cq)).toMatchObject({ cookie: 1, byteLength: grhBytes + 20 })
    // The sender of a datagram never learns of its loss.
    expect(outcome(await completions(a.cq, 2))).toEqual([
      [3, 'SUCCESS'],
      [4, 'SUCCESS'],
    ])
    expect(b.cq.poll()).toBe(0)
  })

  // The specification and a ConnectX drop it silently. rxe of Linux 6.1 fails the receive and the queue pair.
  it('that is too long for its receive fails rxe’s queue pair only', async () => {
    const [a, b] = rxe.connected('UD')
    b.pair.prepareReceive({ memory: b.memory }).post(1, 0, grhBytes + 9)
    b.pair.submit()
    const send = prepare(a, b)
    send.post(2, 0, 10)
    a.pair.submit()
    expect(await completion(a.cq)).toMatchObject({ cookie: 2, status: 'SUCCESS' })
    if (!soft) {
      expect(outcome(await completions(b.cq, 1))).toEqual([[1, 'LOC_QP_OP_ERR']])
      expect(b.pair.state).toBe('ERR')
      return
    }
    send.post(3, 0, 9)
    a.pair.submit()
    expect(await completion(b.cq)).toMatchObject({ cookie: 1, status: 'SUCCESS', byteLength: grhBytes + 9 })
    expect(b.pair.state).toBe('RTS')
  })
})

describe('refusals', () => {
  it('requires a destination', () => {
    const [a, b] = rxe.connected('UD')
    const addressHandle = a.domain.createAddressHandle(b.pair.endpoint)
    const whole = { memory: a.memory, addressHandle, remoteQueuePair: 1, remoteQueueKey: 1 }
    for (const name of ['addressHandle', 'remoteQueuePair', 'remoteQueueKey'] as const) {
      const error = thrownBy(() => a.pair.prepareSend({ ...whole, [name]: undefined }))
      expect(error).toMatchObject({ name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' })
      expect(error.message).toContain(`"options.${name}" must be`)
    }
    expect(thrownBy(() => a.pair.prepareSend({ ...whole, remoteQueuePair: 1 << 24 })).message).toBe(
      '"options.remoteQueuePair" must be an integer from 0 to 16777215, not 16777216',
    )
  })

  it('takes no destination on a connection', () => {
    const [a] = rxe.connected('RC')
    const send = a.pair.prepareSend({ memory: a.memory })
    const addressHandle = a.domain.createAddressHandle(a.pair.endpoint)
    expect(thrownBy(() => send.to(addressHandle, 1, 1))).toMatchObject({
      code: 'ERR_INVALID_ARG_TYPE',
      message: expect.stringContaining('"addressHandle" must be for UD queue pairs only'),
    })
  })

  it('refuses an address handle of another domain, or a closed one', () => {
    const [a, b] = rxe.connected('UD')
    const send = prepare(a, b)
    const foreign = a.context.allocateProtectionDomain().createAddressHandle(b.pair.endpoint)
    const other = b.domain.createAddressHandle(a.pair.endpoint)
    for (const handle of [foreign, other]) {
      expect(thrownBy(() => send.to(handle, 1, 1)).message).toMatch(
        /^"addressHandle" must be an address handle of the queue pair's own protection domain/,
      )
    }
    const mine = send.destination as NonNullable<typeof send.destination>
    mine.close()
    expect(thrownBy(() => send.to(mine, 1, 1))).toMatchObject({ code: 'ERR_IBVERBS_CLOSED' })
    // An already prepared request meets the binding's own check.
    send.post(8, 0, 1)
    expect(a.pair.submit()).toBe(0)
    expect(a.pair.error).toMatchObject({
      code: 'EINVAL',
      cookie: 8,
      message: 'EINVAL: ibv_post_send: the address handle is closed or of another protection domain',
    })
  })

  it('has no one-sided operations', () => {
    const [a, b] = rxe.connected('UD')
    expect(thrownBy(() => a.pair.prepareWrite({ memory: a.memory, remote: b.memory.remote })).message).toBe(
      'ENOTSUP: prepareWrite: the queue pair is of type UD: it takes RC or UC',
    )
  })

  it('names a value that is no address handle', () => {
    const { pair, memory } = rxe.side('UD')
    const options = { memory, remoteQueuePair: 1, remoteQueueKey: 1 }
    expect(thrownBy(() => pair.prepareSend({ ...options, addressHandle: {} as never })).message).toBe(
      '"options.addressHandle" must be an AddressHandle, not {}',
    )
    expect(thrownBy(() => pair.prepareSend({ ...options, memory: 5 as never })).message).toBe(
      '"options.memory" must be a MemoryRegion, not 5',
    )
  })

  it('names the local GID that a destination lacks, and an index that does not exist', () => {
    const domain = rxe.context().allocateProtectionDomain()
    expect(thrownBy(() => domain.createAddressHandle({ gid: '::ffff:10.0.0.1' }))).toMatchObject({
      name: 'VerbsError',
      code: 'EADDRNOTAVAIL',
      message: `EADDRNOTAVAIL: ibv_query_gid_table: port 1 of ${names[0]} has no IPv4 GID to reach ::ffff:10.0.0.1 from (it has ${soft ? 'fe80::1:ff:fe00:1' : 'fe80::ff:fe00:a0'})`,
    })
    expect(thrownBy(() => domain.createAddressHandle({ gid: 'fe80::1', gidIndex: 9 }))).toMatchObject({
      name: 'VerbsError',
      code: 'EINVAL',
      syscall: 'ibv_query_gid_table',
      message: expect.stringMatching(
        new RegExp(
          `^EINVAL: ibv_query_gid_table: port 1 of ${names[0]} has no GID at index 9: there are 0 \\(fe80::`,
        ),
      ),
    })
    expect(thrownBy(() => domain.createAddressHandle({ lid: 5 })).message).toBe(
      '"destination.gid" must be a GID: Ethernet has no LIDs, not undefined',
    )
    const { endpoint } = rxe.side('UD').pair
    expect(thrownBy(() => domain.createAddressHandle({ ...endpoint, gid: '::' })).message).toBe(
      '"destination.gid" must be a GID: Ethernet has no LIDs, not \'::\'',
    )
  })
})
