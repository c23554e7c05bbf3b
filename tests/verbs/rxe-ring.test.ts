import { describe, expect, it } from 'vitest'
import { thrownBy } from '../beds/process.js'
import { outcome, rows, soft, until, useRxe } from '../beds/rxe.js'
import { countNativePolls } from './native-polls.js'

const rxe = useRxe()

describe("SoftRoCE's completion ring", () => {
  it.skipIf(soft)('shows without a native call that it is empty, for each of many queues', () => {
    using native = countNativePolls()
    const context = rxe.context()
    const queues = Array.from({ length: 30 }, () => context.createCompletionQueue(16))
    for (const cq of queues) expect(cq.poll()).toBe(0)
    expect(native.polls).toBe(0)
    // Now and then it looks with Atomics, and not by a call either.
    for (let i = 0; i < 1000; i++) expect(queues[0].poll()).toBe(0)
    expect(native.polls).toBe(0)
  })

  it.skipIf(soft)('shows new completions, and when all were taken', async () => {
    using native = countNativePolls()
    const [a] = rxe.connected('RC')
    const b = a.pair
    const write = b.prepareSend({})
    // The peer has no receive posted: the send stays under way until the retries are used up.
    expect(a.cq.poll()).toBe(0)
    expect(native.polls).toBe(0)
    write.post(7)
    b.submit()
    let got: [number, string][] = []
    await until(() => {
      const n = a.cq.poll()
      if (n > 0) got = outcome(rows(a.cq, n))
      return n > 0
    })
    expect(got).toEqual([[7, 'RNR_RETRY_EXC_ERR']])
    const polls = native.polls
    expect(a.cq.poll()).toBe(0)
    expect(native.polls).toBe(polls)
  })

  it('is not read any more when the queue is closed, by hand or by its context', () => {
    const context = rxe.context()
    const [byHand, byContext] = [context.createCompletionQueue(16), context.createCompletionQueue(16)]
    byHand.close()
    expect(thrownBy(() => byHand.poll())).toMatchObject({ code: 'ERR_IBVERBS_CLOSED' })
    context.close()
    expect(thrownBy(() => byContext.poll())).toMatchObject({ code: 'ERR_IBVERBS_CLOSED' })
    // Nor after a write to the control words, which JavaScript can reach.
    const words = new Uint32Array(byContext.cookie.buffer)
    words.fill(1)
    expect(() => byContext.poll()).toThrow()
    words.fill(0)
    expect(thrownBy(() => byContext.poll())).toMatchObject({ code: 'ERR_IBVERBS_CLOSED' })
  })
})
