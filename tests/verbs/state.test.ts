import type { ConnectOptions, Endpoint, QueuePairAttributes, QueuePairState } from 'ibverbs'
import { describe, expect, it } from 'vitest'
import { completion, completions, names, outcome, rows, type Side, thrownBy, useRxe } from '../beds/rxe.js'

const rxe = useRxe()

/** The RC attributes of each transition, all of them. */
function attributesOf(side: Side, peer: Side): Record<'INIT' | 'RTR' | 'RTS', QueuePairAttributes> {
  return {
    INIT: { pkeyIndex: 0, port: 1, access: ['REMOTE_WRITE'] },
    RTR: {
      addressVector: { gid: peer.pair.endpoint.gid },
      pathMtu: 1024,
      destQpNum: peer.pair.number,
      rqPsn: peer.pair.endpoint.packetSequenceNumber,
      maxDestRdAtomic: 4,
      minRnrTimer: 12,
    },
    RTS: {
      timeout: 14,
      retryCount: 6,
      rnrRetry: 6,
      sqPsn: side.pair.endpoint.packetSequenceNumber,
      maxRdAtomic: 4,
    },
  }
}

describe('modify', () => {
  it('goes RESET → INIT → RTR → RTS → SQD → RTS → ERR → RESET by hand, and data flows', async () => {
    const [a, b] = [rxe.side('RC', 0), rxe.side('RC', 1)]
    const seen: QueuePairState[] = [a.pair.state]
    for (const [side, peer] of [
      [a, b],
      [b, a],
    ]) {
      const attributes = attributesOf(side, peer)
      for (const state of ['INIT', 'RTR', 'RTS'] as const) {
        side.pair.modify({ state, ...attributes[state] })
        if (side === a) seen.push(side.pair.state)
      }
    }
    b.pair.prepareReceive({}).post(1)
    b.pair.submit()
    a.pair.prepareSend({}).post(2)
    a.pair.submit()
    expect(outcome(await completions(b.cq, 1))).toEqual([[1, 'SUCCESS']])
    expect(outcome(await completions(a.cq, 1))).toEqual([[2, 'SUCCESS']])
    for (const state of ['SQD', 'RTS', 'ERR', 'RESET'] as const) {
      a.pair.modify({ state })
      seen.push(a.pair.state)
    }
    expect(seen).toEqual(['RESET', 'INIT', 'RTR', 'RTS', 'SQD', 'RTS', 'ERR', 'RESET'])
  })

  it.each(['INIT', 'RTR', 'RTS'] as const)('names each attribute that → %s lacks', (state) => {
    const [a, b] = [rxe.side('RC', 0), rxe.side('RC', 1)]
    const attributes = attributesOf(a, b)
    if (state !== 'INIT') a.pair.modify({ state: 'INIT', ...attributes.INIT })
    if (state === 'RTS') a.pair.modify({ state: 'RTR', ...attributes.RTR })
    const from = a.pair.state
    const all = Object.keys(attributes[state])
    for (const name of all) {
      const error = thrownBy(() => a.pair.modify({ state, ...attributes[state], [name]: undefined }))
      expect(error).toMatchObject({
        name: 'VerbsError',
        code: 'EINVAL',
        errno: -22,
        syscall: 'ibv_modify_qp',
        message: `EINVAL: ibv_modify_qp: ${from} → ${state} of an RC queue pair needs ${name}`,
      })
    }
    const none = thrownBy(() => a.pair.modify({ state })).message
    for (const name of all) expect(none).toContain(name)
    expect(a.pair.state).toBe(from)
  })

  it('names transitions that do not exist', () => {
    const { pair } = rxe.side('RC')
    for (const state of ['RTR', 'RTS', 'SQD', 'SQE', 'ERR'] as const) {
      expect(thrownBy(() => pair.modify({ state })).message).toBe(
        `EINVAL: ibv_modify_qp: there is no transition RESET → ${state} of an RC queue pair: from RESET it can go to INIT, RESET`,
      )
    }
    pair.initialize()
    pair.modify({ state: 'ERR' })
    expect(thrownBy(() => pair.modify({ state: 'INIT', pkeyIndex: 0, port: 1, access: [] })).message).toBe(
      'EINVAL: ibv_modify_qp: there is no transition ERR → INIT of an RC queue pair: from ERR it can go to RESET, ERR',
    )
    const { pair: datagram } = rxe.side('UD')
    expect(thrownBy(() => datagram.modify({ state: 'RTS', sqPsn: 1 })).message).toContain(
      'there is no transition RESET → RTS of a UD queue pair',
    )
  })

  it('names attributes that the transition does not take', () => {
    const { pair } = rxe.side('RC')
    const init = { state: 'INIT', pkeyIndex: 0, port: 1, access: [] } as const
    expect(thrownBy(() => pair.modify({ ...init, access: [], qkey: 1, timeout: 3 })).message).toBe(
      'EINVAL: ibv_modify_qp: RESET → INIT of an RC queue pair does not take qkey, timeout (it takes pkeyIndex, port, access)',
    )
    expect(thrownBy(() => pair.modify({ state: 'RESET', port: 1 })).message).toBe(
      'EINVAL: ibv_modify_qp: RESET → RESET of an RC queue pair does not take port (it takes no attributes)',
    )
    expect(pair.state).toBe('RESET')
    const datagram = rxe.side('UD').pair
    expect(thrownBy(() => datagram.modify({ ...init, access: [], qkey: 1 })).message).toContain(
      'does not take access (it takes pkeyIndex, port, qkey)',
    )
  })

  it('refuses a wrong current state', () => {
    // rxe of Linux 6.1 would accept it: from INIT to RTS, without a peer.
    const { pair } = rxe.side('RC')
    pair.initialize()
    expect(thrownBy(() => pair.modify({ state: 'RTS', currentState: 'RTS' })).message).toBe(
      'EINVAL: ibv_modify_qp: the queue pair is in INIT, not in RTS as currentState says',
    )
    expect(pair.state).toBe('INIT')
  })

  it('changes the attributes that may change in a state', async () => {
    const [a, b] = rxe.connected('RC', {}, { access: ['REMOTE_READ'] })
    a.pair.modify({ access: ['REMOTE_READ', 'REMOTE_WRITE'], minRnrTimer: 5 })
    expect(a.pair.query()).toMatchObject({ access: ['REMOTE_WRITE', 'REMOTE_READ'], minRnrTimer: 5 })
    b.pair.prepareWrite({ memory: b.memory, remote: a.memory.remote }).post(1, 0, 100)
    b.pair.submit()
    expect(outcome(await completions(b.cq, 1))).toEqual([[1, 'SUCCESS']])
    expect(thrownBy(() => a.pair.modify({ timeout: 3 })).message).toContain(
      'RTS → RTS of an RC queue pair does not take timeout',
    )
  })

  it('without attributes changes nothing, and keeps the posted requests', () => {
    const { pair } = rxe.side('RC')
    pair.prepareSend({}).post(1)
    pair.modify({})
    expect([pair.state, pair.sendFree]).toEqual(['RESET', 63])
  })
})

describe('RESET', () => {
  it('releases everything, and stale completions never come', async () => {
    const [a, b] = rxe.connected('RC')
    const receive = a.pair.prepareReceive({ memory: a.memory })
    const send = a.pair.prepareSend({ memory: a.memory })
    for (let i = 0; i < 10; i++) receive.post(i)
    a.pair.submit()
    const there = b.pair.prepareReceive({ memory: b.memory })
    for (let i = 0; i < 4; i++) {
      there.post(i)
      send.post(100 + i, 0, 10)
    }
    b.pair.submit()
    expect(a.pair.submit()).toBe(4)
    await completions(b.cq, 4)
    // Completions of the sends are in a's queue, or on their way; two more posts are not even submitted.
    send.post(200, 0, 1)
    receive.post(201)
    a.pair.modify({ state: 'RESET' })
    expect([a.pair.sendOutstanding, a.pair.receiveOutstanding, a.pair.sendFree, a.pair.receiveFree]).toEqual([
      0, 0, 64, 64,
    ])
    expect(a.pair.submit()).toBe(0)
    expect(a.cq.poll()).toBe(0)

    // The same queue pair, connected again, completes only new requests.
    b.pair.modify({ state: 'RESET' })
    a.pair.connect(b.pair.endpoint)
    b.pair.connect(a.pair.endpoint)
    b.pair.prepareReceive({ memory: b.memory }).post(7)
    b.pair.submit()
    send.post(300, 0, 5)
    expect(a.pair.submit()).toBe(1)
    expect(await completion(b.cq)).toMatchObject({ cookie: 7, byteLength: 5 })
    expect(outcome(await completions(a.cq, 1))).toEqual([[300, 'SUCCESS']])
    expect(rows(a.cq, a.cq.poll())).toEqual([])
  })

  it('gives back the places of unpolled completions', async () => {
    // 127 places; without the reset, the third round would overrun them and lose completions (rxe_cq_post).
    const { pair, cq } = rxe.side('RC', 0, { entries: 127, maxSendWr: 64, maxReceiveWr: 63 })
    expect(cq.entries).toBe(127)
    const receive = pair.prepareReceive({})
    for (let round = 0; round < 6; round++) {
      pair.initialize()
      for (let i = 0; i < 63; i++) receive.post(round * 100 + i)
      expect(pair.submit()).toBe(63)
      pair.modify({ state: 'ERR' })
      if (round < 5) pair.modify({ state: 'RESET' })
    }
    expect(outcome(await completions(cq, 63))).toEqual(
      Array.from({ length: 63 }, (_, i) => [500 + i, 'WR_FLUSH_ERR']),
    )
    expect(cq.poll()).toBe(0)
  })

  it('may come hundreds of times', async () => {
    const [a, b] = rxe.connected('UC', { maxSendWr: 2, maxReceiveWr: 2 })
    for (let i = 0; i < 200; i++) {
      a.pair.prepareReceive({}).post(i)
      a.pair.submit()
      a.pair.modify({ state: 'RESET' })
      a.pair.connect(b.pair.endpoint)
    }
    expect(a.cq.poll()).toBe(0)
    b.pair.modify({ state: 'RESET' })
    b.pair.connect(a.pair.endpoint)
    b.pair.prepareReceive({}).post(1)
    b.pair.submit()
    a.pair.prepareSend({}).post(2)
    a.pair.submit()
    expect(outcome(await completions(b.cq, 1))).toEqual([[1, 'SUCCESS']])
  })
})

describe('ERR', () => {
  it('flushes everything outstanding in order, with cookies', async () => {
    const [a] = rxe.connected('RC', { maxSendWr: 16, maxReceiveWr: 16 })
    const receive = a.pair.prepareReceive({})
    for (let i = 0; i < 16; i++) receive.post(i)
    a.pair.submit()
    // Held in SQD, the sends are certainly outstanding.
    a.pair.modify({ state: 'SQD' })
    const loud = a.pair.prepareSend({})
    const silent = a.pair.prepareSend({ signaled: false })
    for (let i = 0; i < 16; i++) (i % 2 ? silent : loud).post(100 + i)
    expect(a.pair.submit()).toBe(16)
    expect([a.pair.sendOutstanding, a.pair.receiveOutstanding]).toEqual([16, 16])
    a.pair.modify({ state: 'ERR' })
    const all = outcome(await completions(a.cq, 32))
    expect(all.filter(([cookie]) => cookie < 100)).toEqual(
      Array.from({ length: 16 }, (_, i) => [i, 'WR_FLUSH_ERR']),
    )
    expect(all.filter(([cookie]) => cookie >= 100)).toEqual(
      Array.from({ length: 16 }, (_, i) => [100 + i, 'WR_FLUSH_ERR']),
    )
    expect([a.pair.sendOutstanding, a.pair.receiveOutstanding]).toEqual([0, 0])
    expect(a.cq.poll()).toBe(0)
  })

  it('flushes requests posted afterwards', async () => {
    const [a] = rxe.connected('RC')
    a.pair.modify({ state: 'ERR' })
    a.pair.prepareSend({}).post(1)
    a.pair.prepareSend({ signaled: false }).post(2)
    expect(a.pair.submit()).toBe(2)
    expect(outcome(await completions(a.cq, 2))).toEqual([
      [1, 'WR_FLUSH_ERR'],
      [2, 'WR_FLUSH_ERR'],
    ])
    // rxe of Linux 6.1 never looks at a receive that is posted in ERR; RESET gives it back.
    a.pair.prepareReceive({}).post(3)
    expect(a.pair.submit()).toBe(1)
    expect(a.pair.receiveOutstanding).toBe(1)
    a.pair.modify({ state: 'RESET' })
    expect(a.pair.receiveOutstanding).toBe(0)
  })
})

describe('connect', () => {
  it('sets working defaults', () => {
    const [a, b] = rxe.connected('RC')
    const { addressVector, ...query } = a.pair.query()
    expect(query).toMatchObject({
      state: 'RTS',
      access: ['REMOTE_WRITE', 'REMOTE_READ', 'REMOTE_ATOMIC'],
      pkeyIndex: 0,
      port: 1,
      pathMtu: 1024, // the port's active MTU: v0 has 1500 bytes
      timeout: 14,
      retryCount: 6,
      rnrRetry: 6,
      minRnrTimer: 12,
      maxRdAtomic: 16,
      maxDestRdAtomic: 16,
      destQpNum: b.pair.number,
      rqPsn: b.pair.endpoint.packetSequenceNumber,
      sqPsn: a.pair.endpoint.packetSequenceNumber,
      maxSendSge: a.pair.capabilities.maxSendSge,
      maxRecvSge: a.pair.capabilities.maxReceiveSge,
      maxInlineData: a.pair.capabilities.maxInline,
    })
    // rxe returns the size of its rings here, which may exceed the requested one.
    const { maxSendWr, maxReceiveWr } = a.pair.capabilities
    expect(query.maxSendWr).toBeGreaterThanOrEqual(maxSendWr)
    expect(query.maxRecvWr).toBeGreaterThanOrEqual(maxReceiveWr)
    expect(addressVector).toMatchObject({
      gid: b.pair.endpoint.gid,
      gidIndex: a.pair.gidIndex,
      hopLimit: 64,
      trafficClass: 0,
      flowLabel: 0,
      serviceLevel: 0,
    })
    expect(a.pair.query()).toMatchObject(query)
  })

  it('sets the given attributes', () => {
    const options: ConnectOptions = {
      access: ['REMOTE_READ'],
      pathMtu: 512,
      timeout: 10,
      retryCount: 3,
      rnrRetry: 2,
      minRnrTimer: 20,
      maxRdAtomic: 3,
      maxDestRdAtomic: 5,
      serviceLevel: 3,
      trafficClass: 0x68,
      flowLabel: 0xabcde,
      hopLimit: 3,
    }
    const [a] = rxe.connected('RC', {}, options)
    const { serviceLevel, trafficClass, flowLabel, hopLimit, ...ofPair } = options
    // rxe rounds reads and atomics up to a power of two (rxe_qp_from_attr): 3 becomes 4 and 5 becomes 8.
    expect(a.pair.query()).toMatchObject({ ...ofPair, maxRdAtomic: 4, maxDestRdAtomic: 8 })
    expect(a.pair.query().addressVector).toMatchObject({ trafficClass, flowLabel })
    // The hop limit is the route's for RoCE v2 (ib_resolve_eth_dmac), and 64 by default on both.
    expect([hopLimit, a.pair.query().addressVector.hopLimit]).toEqual([3, 64])
    // rxe stores no service level: it has no priorities of its own.
    expect([0, serviceLevel]).toContain(a.pair.query().addressVector.serviceLevel)
  })

  it('goes on from INIT', async () => {
    const [a, b] = [rxe.side('RC', 0), rxe.side('RC', 1)]
    a.pair.initialize({ access: [] })
    expect(a.pair.query()).toMatchObject({ state: 'INIT', access: [] })
    a.pair.connect(b.pair.endpoint)
    b.pair.connect(a.pair.endpoint)
    b.pair.prepareReceive({}).post(1)
    b.pair.submit()
    a.pair.prepareSend({}).post(1)
    a.pair.submit()
    expect(outcome(await completions(b.cq, 1))).toEqual([[1, 'SUCCESS']])
  })

  it('refuses a second call', () => {
    const [a, b] = rxe.connected('RC')
    expect(thrownBy(() => a.pair.connect(b.pair.endpoint))).toMatchObject({
      name: 'VerbsError',
      code: 'EINVAL',
      syscall: 'ibv_modify_qp',
      message: 'EINVAL: ibv_modify_qp: the queue pair is in RTS: connect() starts from RESET or INIT',
    })
    expect(a.pair.state).toBe('RTS')
  })

  it('needs no peer for UD, and one for the others', () => {
    const { pair } = rxe.side('UD')
    pair.connect()
    expect(pair.query()).toMatchObject({ state: 'RTS', qkey: 0x11111111 })
    for (const type of ['RC', 'UC'] as const) {
      const other = rxe.side(type).pair
      expect(thrownBy(() => other.connect())).toMatchObject({
        name: 'TypeError',
        code: 'ERR_INVALID_ARG_TYPE',
        message: '"remote" must be an endpoint, not undefined',
      })
      expect(other.state).toBe('RESET')
    }
  })

  it('refuses a GID of another kind, which it could never reach', () => {
    const { pair } = rxe.side('RC')
    for (const [gid, kind] of [
      ['::ffff:10.0.0.1', 'IPv4'],
      ['2001:db8::1', 'IPv6'],
    ]) {
      expect(thrownBy(() => pair.connect({ ...pair.endpoint, gid })).message).toBe(
        `EINVAL: ibv_modify_qp: the peer's GID ${gid} is ${kind} and ours, ${pair.endpoint.gid}, link-local: ` +
          'create both queue pairs with a gidIndex of the same kind (ibverbs devices lists them)',
      )
      expect(pair.state).toBe('RESET')
    }
  })

  const bad: [Partial<Record<keyof Endpoint, unknown>>, string][] = [
    [{ type: 'UD' }, '"remote.type" must be one of RC, not \'UD\''],
    [{ type: 'UC' }, '"remote.type" must be one of RC, not \'UC\''],
    [{ type: 2 }, '"remote.type" must be a string, not 2'],
    [
      { queuePairNumber: 1 << 24 },
      '"remote.queuePairNumber" must be an integer from 0 to 16777215, not 16777216',
    ],
    [{ queuePairNumber: '17' }, '"remote.queuePairNumber" must be a number, not \'17\''],
    [
      { packetSequenceNumber: -1 },
      '"remote.packetSequenceNumber" must be an integer from 0 to 16777215, not -1',
    ],
    [{ packetSequenceNumber: undefined }, '"remote.packetSequenceNumber" must be a number, not undefined'],
    [{ gid: 'hello' }, '"remote.gid" must be a GID such as fe80::1 or ::ffff:10.0.0.1, not \'hello\''],
    [
      { gid: 'fe80::1%v0' },
      '"remote.gid" must be a GID such as fe80::1 or ::ffff:10.0.0.1, not \'fe80::1%v0\'',
    ],
    [{ gid: 5n }, '"remote.gid" must be a string, not 5n'],
    [{ gid: '::' }, '"remote.gid" must be a GID: Ethernet has no LIDs, not \'::\''],
    [{ gid: '0:0::0' }, '"remote.gid" must be a GID: Ethernet has no LIDs, not \'0:0::0\''],
    [{ lid: 65536 }, '"remote.lid" must be an integer from 0 to 65535, not 65536'],
    [{ lid: Number.NaN }, '"remote.lid" must be an integer from 0 to 65535, not NaN'],
    [{ mtu: 1500 }, '"remote.mtu" must be one of 256, 512, 1024, 2048, 4096, not 1500'],
    [{ mtu: 2 ** 53 }, '"remote.mtu" must be an integer from 0 to 9007199254740991, not 9007199254740992'],
    [{ queueKey: -5 }, '"remote.queueKey" must be an integer from 0 to 4294967295, not -5'],
  ]
  it.each(bad.map(([change, message]) => [message, change] as const))(
    'names what is wrong with an endpoint: %s',
    (message, change) => {
      const { pair } = rxe.side('RC')
      const error = thrownBy(() => pair.connect({ ...pair.endpoint, ...change } as Endpoint))
      expect(error.message).toBe(message)
      expect(['ERR_INVALID_ARG_TYPE', 'ERR_OUT_OF_RANGE']).toContain(error.code)
      expect(pair.state).toBe('RESET')
    },
  )

  const options: [Record<string, unknown>, string][] = [
    [{ pathMtu: 1500 }, '"options.pathMtu" must be one of 256, 512, 1024, 2048, 4096, not 1500'],
    [{ timeout: 32 }, '"options.timeout" must be an integer from 0 to 31, not 32'],
    [{ retryCount: 8 }, '"options.retryCount" must be an integer from 0 to 7, not 8'],
    [{ rnrRetry: '6' }, '"options.rnrRetry" must be a number, not \'6\''],
    [{ minRnrTimer: -1 }, '"options.minRnrTimer" must be an integer from 0 to 31, not -1'],
    [{ maxRdAtomic: 0.5 }, '"options.maxRdAtomic" must be an integer from 0 to 255, not 0.5'],
    [{ maxDestRdAtomic: 256 }, '"options.maxDestRdAtomic" must be an integer from 0 to 255, not 256'],
    [{ pkeyIndex: 200 }, `"options.pkeyIndex" must be 0, the only partition key of ${names[0]}, not 200`],
    [{ pkeyIndex: 65536 }, '"options.pkeyIndex" must be an integer from 0 to 65535, not 65536'],
    [{ access: 'REMOTE_WRITE' }, '"options.access" must be an array of access flags, not \'REMOTE_WRITE\''],
    [{ hopLimit: 256 }, '"options.hopLimit" must be an integer from 0 to 255, not 256'],
    [{ trafficClass: null }, '"options.trafficClass" must be a number, not null'],
    [{ flowLabel: 1 << 20 }, '"options.flowLabel" must be an integer from 0 to 1048575, not 1048576'],
    [{ serviceLevel: 16 }, '"options.serviceLevel" must be an integer from 0 to 15, not 16'],
  ]
  it.each(options.map(([change, message]) => [message, change] as const))(
    'names what is wrong with its options: %s',
    (message, change) => {
      const { pair } = rxe.side('RC')
      const error = thrownBy(() => pair.connect(pair.endpoint, change as ConnectOptions))
      expect(error.message).toBe(message)
      expect(pair.state).toBe('RESET')
    },
  )

  it('lists the GIDs when the requested one is missing', () => {
    const { domain, cq } = rxe.side('RC', 0, { entries: 256 })
    const [gid] = domain.context.queryGidTable()
    expect(
      domain.createQueuePair({ type: 'RC', cq, maxSendWr: 1, maxReceiveWr: 1, gidIndex: gid.index }).endpoint
        .gid,
    ).toBe(gid.gid)
    expect(thrownBy(() => domain.createQueuePair({ type: 'RC', cq, gidIndex: 200 })).message).toBe(
      `EINVAL: ibv_query_gid_table: port 1 of ${names[0]} has no GID at index 200: there are 0 (${gid.gid})`,
    )
  })

  it('has an endpoint that is plain JSON, and frozen', () => {
    const { pair } = rxe.side('UD', 0, { queueKey: 7, packetSequenceNumber: 0xffffff })
    expect(JSON.parse(JSON.stringify(pair.endpoint))).toEqual(pair.endpoint)
    expect(pair.endpoint).toEqual({
      version: 1,
      type: 'UD',
      queuePairNumber: pair.number,
      packetSequenceNumber: 0xffffff,
      gid: pair.endpoint.gid,
      lid: 0,
      mtu: 1024,
      queueKey: 7,
    })
    expect(Object.isFrozen(pair.endpoint)).toBe(true)
    expect(Object.isFrozen(pair.capabilities)).toBe(true)
  })
})
