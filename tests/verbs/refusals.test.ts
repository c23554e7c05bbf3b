/** Requests that the device refuses: the exact status of each failed completion, on both ends. */
import { type Access, CompletionStatus, type QueuePair } from 'ibverbs'
import { describe, expect, it } from 'vitest'
import {
  completion,
  completions,
  drained,
  fault,
  outcome,
  pattern,
  type Side,
  type SideOptions,
  soft,
  useRxe,
} from '../beds/rxe.js'

const rxe = useRxe()

/** Fails fast: a lost packet is retried once, after 4 ms. */
const impatient = { retryCount: 1, timeout: 10, rnrRetry: 1, minRnrTimer: 1 }

/** Posts one request of `a` with cookie 1, and one after it with cookie 2 that must be flushed. */
async function fails(a: Side, post: (cookie: number) => void, status: string): Promise<void> {
  post(1)
  a.pair.prepareSend({}).post(2)
  expect(a.pair.submit()).toBe(2)
  const done = await completions(a.cq, 2)
  // On an error only cookie, status, queue pair and vendor error are valid: the other columns are 0.
  expect(done).toEqual([
    { cookie: 1, status, queuePair: a.pair.number },
    { cookie: 2, status: 'WR_FLUSH_ERR', queuePair: a.pair.number },
  ])
  expect(a.pair.state).toBe('ERR')
  expect(a.pair.sendOutstanding).toBe(0)
}

describe('a failed completion', () => {
  it('has cookie, status, opcode, queue pair and vendor error only', async () => {
    const [a, b] = rxe.connected('RC', {}, impatient)
    // A good one first, so that the columns hold old values.
    b.pair.prepareReceive({ memory: b.memory }).post(8)
    b.pair.submit()
    a.pair.prepareSend({ memory: a.memory, immediate: 77 }).post(9, 0, 100)
    a.pair.submit()
    expect(await completion(b.cq)).toMatchObject({ immediate: 77, byteLength: 100 })
    await completion(a.cq)
    b.pair.prepareReceive({ memory: b.memory }).post(0xfffffffe)
    b.pair.submit()
    b.pair.modify({ state: 'ERR' })
    expect(await b.cq.wait()).toBe(1)
    const { cq } = b
    expect([cq.cookie[0], cq.status[0], cq.queuePairNumber[0]]).toEqual([
      0xfffffffe,
      CompletionStatus.WR_FLUSH_ERR,
      b.pair.number,
    ])
    expect(cq.opcodeName(0)).toBe('RECV') // the opcode of the posted request, as this library remembers it
    for (const column of ['byteLength', 'immediate', 'flags', 'sourceQueuePair', 'vendorError'] as const) {
      // The vendor's syndrome: rxe has none.
      const valid = soft && column === 'vendorError'
      expect([column, cq[column][0]]).toEqual([column, valid ? 0xf9 : 0])
    }
  })
})

describe('a receive', () => {
  // The specification (IBA 11.6.2) has LOC_PROT_ERR and LOC_LEN_ERR for these. rxe of Linux 6.1 completes any receive
  // that it cannot fill with LOC_QP_OP_ERR, and the sender gets REM_OP_ERR (rxe_responder: RESPST_ERR_MALFORMED_WQE).
  const cases: [
    string,
    SideOptions,
    (b: Side) => { close?: () => void },
    typeof fault.tooShort | typeof fault.protection,
  ][] = [
    [
      'into a region that was closed after it was posted',
      {},
      (b) => {
        const region = b.domain.registerMemory(4096)
        b.pair.prepareReceive({ memory: region }).post(1)
        return region
      },
      fault.protection,
    ],
    [
      'that is too short',
      {},
      (b) => {
        b.pair.prepareReceive({ memory: b.memory }).post(1, 0, 99)
        return {}
      },
      fault.tooShort,
    ],
  ]
  it.each(cases)('%s fails on both ends', async (_, options, post, status) => {
    const [a, b] = rxe.connected('RC', options)
    a.memory.bytes.set(pattern(100, 1))
    const region = post(b)
    b.pair.prepareReceive({ memory: b.memory }).post(2)
    expect(b.pair.submit()).toBe(2)
    region.close?.()
    await fails(a, (cookie) => a.pair.prepareSend({ memory: a.memory }).post(cookie, 0, 100), status.sender)
    expect(outcome(await completions(b.cq, 2))).toEqual([
      [1, status.here],
      [2, 'WR_FLUSH_ERR'],
    ])
    expect(b.pair.state).toBe('ERR')
    expect(b.memory.bytes.every((byte) => byte === 0)).toBe(true)
  })

  it('of UC that is too short fails at the receiver only', async () => {
    const [a, b] = rxe.connected('UC')
    b.pair.prepareReceive({ memory: b.memory }).post(1, 0, 9)
    b.pair.submit()
    a.pair.prepareSend({ memory: a.memory }).post(2, 0, 10)
    a.pair.submit()
    expect(outcome(await completions(b.cq, 1))).toEqual([[1, fault.tooShort.here]])
    expect(b.pair.state).toBe('ERR')
    expect(outcome(await completions(a.cq, 1))).toEqual([[2, 'SUCCESS']])
    expect(a.pair.state).toBe('RTS')
  })

  it('of UC that is missing loses the message', async () => {
    const [a, b] = rxe.connected('UC')
    const send = a.pair.prepareSend({ memory: a.memory })
    send.post(1, 0, 10)
    a.pair.submit()
    expect(outcome(await completions(a.cq, 1))).toEqual([[1, 'SUCCESS']])
    b.pair.prepareReceive({ memory: b.memory }).post(2)
    b.pair.submit()
    send.post(3, 0, 20)
    a.pair.submit()
    expect(await completion(b.cq)).toMatchObject({ cookie: 2, byteLength: 20 })
  })

  it('that is missing is RNR_RETRY_EXC_ERR after the retries', async () => {
    const [a, b] = rxe.connected('RC', {}, impatient)
    await fails(
      a,
      (cookie) => a.pair.prepareSend({ memory: a.memory }).post(cookie, 0, 10),
      'RNR_RETRY_EXC_ERR',
    )
    expect(b.pair.state).toBe('RTS')
  })

  it('that comes in time is found by a retry', async () => {
    // minRnrTimer 26 is 81.92 ms: the receive is posted long before the retry.
    const [a, b] = rxe.connected('RC', {}, { rnrRetry: 6, minRnrTimer: 26 })
    a.memory.bytes.set(pattern(10, 1))
    a.pair.prepareSend({ memory: a.memory }).post(1, 0, 10)
    a.pair.submit()
    b.pair.prepareReceive({ memory: b.memory }).post(2)
    b.pair.submit()
    expect(await completion(b.cq)).toMatchObject({ cookie: 2, status: 'SUCCESS', byteLength: 10 })
    expect(outcome(await completions(a.cq, 1))).toEqual([[1, 'SUCCESS']])
  })
})

describe('a peer that is gone', () => {
  it('is RETRY_EXC_ERR, and the rest is flushed: sends, receives, unsignalled ones', async () => {
    const [a, b] = rxe.connected('RC', {}, impatient)
    b.pair.close()
    const receive = a.pair.prepareReceive({})
    receive.post(10)
    receive.post(11)
    a.pair.prepareSend({ memory: a.memory }).post(1, 0, 10)
    a.pair.prepareSend({ signaled: false }).post(2)
    a.pair.prepareWrite({ memory: a.memory, remote: b.memory.remote }).post(3, 0, 10)
    expect(a.pair.submit()).toBe(5)
    const all = outcome(await completions(a.cq, 5))
    expect(all[0]).toEqual([1, 'RETRY_EXC_ERR'])
    expect(all.slice(1).filter(([cookie]) => cookie < 10)).toEqual([
      [2, 'WR_FLUSH_ERR'],
      [3, 'WR_FLUSH_ERR'],
    ])
    expect(all.filter(([cookie]) => cookie >= 10)).toEqual([
      [10, 'WR_FLUSH_ERR'],
      [11, 'WR_FLUSH_ERR'],
    ])
    expect([a.pair.sendOutstanding, a.pair.receiveOutstanding]).toEqual([0, 0])
  })

  it('is an error within seconds with the defaults too', async () => {
    const [a, b] = rxe.connected('RC')
    b.pair.close()
    a.pair.prepareSend({}).post(1)
    a.pair.submit()
    expect(outcome(await completions(a.cq, 1))).toEqual([[1, 'RETRY_EXC_ERR']])
  })
})

describe('remote access', () => {
  type Kind = 'write' | 'read' | 'atomic'
  const kinds: Kind[] = ['write', 'read', 'atomic']
  const post: Record<
    Kind,
    (pair: QueuePair, side: Side, remote: Side['memory']['remote'], at?: number) => (cookie: number) => void
  > = {
    write: (pair, { memory }, remote, at = 0) => {
      const prepared = pair.prepareWrite({ memory, remote })
      return (cookie) => prepared.post(cookie, 0, 8, at)
    },
    read: (pair, { memory }, remote, at = 0) => {
      const prepared = pair.prepareRead({ memory, remote })
      return (cookie) => prepared.post(cookie, 0, 8, at)
    },
    atomic: (pair, { memory }, remote, at = 0) => {
      const prepared = pair.prepareFetchAndAdd({ memory, remote })
      return (cookie) => prepared.post(cookie, 0, at, 1, 0)
    },
  }

  it.each(kinds)('with a bad rkey: %s is REM_ACCESS_ERR', async (kind) => {
    const [a, b] = rxe.connected('RC')
    const remote = { ...b.memory.remote, rkey: b.memory.rkey ^ 0xff }
    await fails(a, post[kind](a.pair, a, remote), 'REM_ACCESS_ERR')
    expect(b.pair.state).toBe('ERR')
    expect(b.memory.bytes.subarray(0, 8).every((byte) => byte === 0)).toBe(true)
  })

  it.each(kinds)('with the rkey of a closed region: %s is REM_ACCESS_ERR', async (kind) => {
    const [a, b] = rxe.connected('RC')
    const { remote } = b.memory
    b.memory.close()
    await fails(a, post[kind](a.pair, a, remote), 'REM_ACCESS_ERR')
  })

  it.each(kinds)('beyond the region: %s is REM_ACCESS_ERR', async (kind) => {
    const [a, b] = rxe.connected('RC')
    const longer = { ...b.memory.remote, length: b.memory.length + 4096 }
    await fails(
      a,
      post[kind](a.pair, a, longer, b.memory.length - (kind === 'atomic' ? 0 : 7)),
      'REM_ACCESS_ERR',
    )
    expect(b.memory.bytes.every((byte) => byte === 0)).toBe(true)
  })

  it.each(['write', 'read'] as const)('before the region: %s is REM_ACCESS_ERR', async (kind) => {
    const [a, b] = rxe.connected('RC')
    const earlier = { ...b.memory.remote, address: `0x${(b.memory.address - 1n).toString(16)}` }
    await fails(a, post[kind](a.pair, a, earlier), 'REM_ACCESS_ERR')
  })

  const without: [Kind, Access[]][] = [
    ['write', ['LOCAL_WRITE', 'REMOTE_READ', 'REMOTE_ATOMIC']],
    ['read', ['LOCAL_WRITE', 'REMOTE_WRITE', 'REMOTE_ATOMIC']],
    ['atomic', ['LOCAL_WRITE', 'REMOTE_WRITE', 'REMOTE_READ']],
  ]
  it.each(without)('to a region without the permission: %s is REM_ACCESS_ERR', async (kind, access) => {
    const [a, b] = rxe.connected('RC', { access })
    await fails(a, post[kind](a.pair, a, b.memory.remote), 'REM_ACCESS_ERR')
    expect(b.memory.bytes.subarray(0, 8).every((byte) => byte === 0)).toBe(true)
  })

  it.each(without)('to a queue pair without the permission: %s is REM_INV_REQ_ERR', async (kind, access) => {
    const [a, b] = rxe.connected('RC', {}, { access })
    expect(b.pair.query().access).not.toContain(`REMOTE_${kind.toUpperCase()}`)
    await fails(a, post[kind](a.pair, a, b.memory.remote), 'REM_INV_REQ_ERR')
  })

  it('of UC that is refused is lost silently', async () => {
    const [a, b] = rxe.connected('UC')
    const remote = { ...b.memory.remote, rkey: b.memory.rkey ^ 0xff }
    a.pair.prepareWrite({ memory: a.memory, remote }).post(1, 0, 8)
    a.pair.submit()
    expect(outcome(await completions(a.cq, 1))).toEqual([[1, 'SUCCESS']])
    expect(b.memory.bytes.subarray(0, 8).every((byte) => byte === 0)).toBe(true)
  })
})

describe('a local region', () => {
  it('closed before a waiting send runs fails the send', async () => {
    const [a] = rxe.connected('RC')
    const region = a.domain.registerMemory(4096)
    a.pair.modify({ state: 'SQD' }) // the send waits until it is back in RTS
    await drained(a.pair)
    a.pair.prepareSend({ memory: region }).post(1, 0, 10)
    expect(a.pair.submit()).toBe(1)
    region.close()
    a.pair.modify({ state: 'RTS' })
    // Any send rings rxe's doorbell.
    a.pair.prepareSend({}).post(2)
    a.pair.submit()
    // LOC_PROT_ERR by the specification; rxe of Linux 6.1 finds no region and reports LOC_QP_OP_ERR.
    expect(outcome(await completions(a.cq, 2))).toEqual([
      [1, fault.protection.here],
      [2, 'WR_FLUSH_ERR'],
    ])
  })
})
