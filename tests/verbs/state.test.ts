import type { QueuePairAttributes, QueuePairState } from 'ibverbs'
import { describe, expect, it } from 'vitest'
import { completion, completions, drained, outcome, rows, type Side, thrownBy, useRxe } from '../beds/rxe.js'

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
      await drained(a.pair)
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
