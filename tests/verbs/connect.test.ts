import type { ConnectOptions, Endpoint } from 'ibverbs'
import { describe, expect, it } from 'vitest'
import { completions, names, outcome, thrownBy, useRxe } from '../beds/rxe.js'

const rxe = useRxe()

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
