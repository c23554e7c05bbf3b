import { describe, expect, it } from 'vitest'
import {
  completion,
  completions,
  expectBytes,
  outcome,
  pattern,
  type Side,
  soft,
  thrownBy,
  useRxe,
} from '../beds/rxe.js'

const rxe = useRxe()

const words = (side: Side, offset: number, count = 2) =>
  new Uint32Array(side.memory.bytes.buffer, side.memory.bytes.byteOffset + offset, count)

/** [low, high] of eight bytes. */
const read = (side: Side, offset: number) => [...words(side, offset)]

describe('fetch-and-add', () => {
  it.each([
    ['carries into the high word', [0xffffffff, 7], [1, 0], [0, 8]],
    ['adds both words', [1, 2], [3, 4], [4, 6]],
    ['wraps at 2^64', [0xffffffff, 0xffffffff], [2, 0], [1, 0]],
    ['subtracts by adding the complement', [5, 0], [0xfffffffe, 0xffffffff], [3, 0]],
  ])('%s and returns the old value', async (_, before, add, after) => {
    const [a, b] = rxe.connected('RC')
    b.memory.bytes.fill(0xee)
    words(b, 800).set(before)
    a.memory.bytes.fill(0xdd)
    a.pair.prepareFetchAndAdd({ memory: a.memory, remote: b.memory.remote }).post(5, 16, 800, add[0], add[1])
    expect(a.pair.submit()).toBe(1)
    expect(await completion(a.cq)).toMatchObject({ cookie: 5, status: 'SUCCESS', opcode: 'FETCH_ADD' })
    expect(read(a, 16)).toEqual(before)
    expect(read(b, 800)).toEqual(after)
    // and nothing outside the eight bytes of either end
    expect(read(a, 8)).toEqual([0xdddddddd, 0xdddddddd])
    expect(read(a, 24)).toEqual([0xdddddddd, 0xdddddddd])
    expect(read(b, 792)).toEqual([0xeeeeeeee, 0xeeeeeeee])
    expect(read(b, 808)).toEqual([0xeeeeeeee, 0xeeeeeeee])
  })

  it('counts from both ends without losing any', async () => {
    // Both add to the same counter in a's memory: b over the wire, a through a queue pair to itself.
    const [a, b] = rxe.connected('RC')
    const self = a.domain.createQueuePair({ type: 'RC', cq: a.context.createCompletionQueue(128) })
    self.connect(self.endpoint)
    const remote = a.memory.remote
    const here = self.prepareFetchAndAdd({ memory: a.memory, remote })
    const there = b.pair.prepareFetchAndAdd({ memory: b.memory, remote })
    for (let i = 0; i < 50; i++) {
      here.post(i, 4096 + i * 8, 0, 1, 0)
      there.post(i, i * 8, 0, 1, 0)
    }
    expect(self.submit() + b.pair.submit()).toBe(100)
    await completions(self.sendCq, 50)
    await completions(b.cq, 50)
    expect(read(a, 0)).toEqual([100, 0])
    // Every value from 0 to 99 was the old value exactly once.
    const seen = Array.from({ length: 50 }, (_, i) => [read(a, 4096 + i * 8)[0], read(b, i * 8)[0]]).flat()
    expect(seen.sort((x, y) => x - y)).toEqual(Array.from({ length: 100 }, (_, i) => i))
  })
})

describe('compare-and-swap', () => {
  it.each([
    ['swaps when both words are equal', [3, 4], true],
    ['leaves it when the low word differs', [2, 4], false],
    ['leaves it when the high word differs', [3, 5], false],
  ])('%s, and returns the old value either way', async (_, compare, swaps) => {
    const [a, b] = rxe.connected('RC')
    words(b, 64).set([3, 4])
    const swap = a.pair.prepareCompareAndSwap({ memory: a.memory, remote: b.memory.remote })
    swap.post(9, 8, 64, compare[0], compare[1], 0xaaaaaaaa, 0xbbbbbbbb)
    expect(a.pair.submit()).toBe(1)
    expect(await completion(a.cq)).toMatchObject({ cookie: 9, status: 'SUCCESS', opcode: 'COMP_SWAP' })
    expect(read(a, 8)).toEqual([3, 4])
    expect(read(b, 64)).toEqual(swaps ? [0xaaaaaaaa, 0xbbbbbbbb] : [3, 4])
  })

  it('is fenced: the requests after it see its result', async () => {
    const [a, b] = rxe.connected('RC')
    words(b, 0).set([1, 0])
    b.pair.prepareReceive({ memory: b.memory }).post(1, 512, 8)
    b.pair.submit()
    const options = { memory: a.memory, remote: b.memory.remote }
    a.pair.prepareCompareAndSwap(options).post(1, 0, 0, 1, 0, 2, 0)
    a.pair.prepareCompareAndSwap({ ...options, fence: true, signaled: false }).post(2, 8, 0, 2, 0, 3, 0)
    a.pair.prepareSend({ memory: a.memory, fence: true }).post(3, 8, 8)
    expect(a.pair.submit()).toBe(3)
    await completion(b.cq)
    expect(read(b, 512)).toEqual([2, 0])
    expect(read(b, 0)).toEqual([3, 0])
    expect(outcome(await completions(a.cq, 2))).toEqual([
      [1, 'SUCCESS'],
      [3, 'SUCCESS'],
    ])
  })

  // libmlx5 gives every element of an atomic eight bytes (qp.c, set_data_ptr_seg_atomic): the first would take them
  // all, and the bytes behind it would be overwritten.
  it('scatters the old value over two elements, or refuses to', async () => {
    const [a, b] = rxe.connected('RC', { maxSendSge: 2 })
    b.memory.bytes.set(pattern(8, 3))
    const elements = [
      { memory: a.memory, offset: 3, length: 5 },
      { memory: a.memory, offset: 100, length: 3 },
    ]
    a.pair.prepareFetchAndAdd({ elements, remote: b.memory.remote }).post(1, 0, 0, 0, 0)
    if (soft) {
      expect(a.pair.submit()).toBe(0)
      expect(a.pair.error).toMatchObject({ code: 'EINVAL', cookie: 1 })
      expect(a.pair.error?.message).toBe(
        'EINVAL: ibv_post_send: the 8 bytes of an atomic must be one element: this device’s library would write all of them into the first',
      )
      expectBytes(a.memory.bytes.subarray(0, 128), new Uint8Array(128))
      return
    }
    expect(a.pair.submit()).toBe(1)
    expect(await completion(a.cq)).toMatchObject({ status: 'SUCCESS' })
    expectBytes(a.memory.bytes.subarray(3, 8), pattern(8, 3).subarray(0, 5))
    expectBytes(a.memory.bytes.subarray(100, 103), pattern(8, 3).subarray(5))
  })
})

describe('refusals', () => {
  it('names an address that is not a multiple of 8', () => {
    const [a, b] = rxe.connected('RC')
    const add = a.pair.prepareFetchAndAdd({ memory: a.memory, remote: b.memory.remote })
    for (const offset of [1, 4, 7]) {
      expect(thrownBy(() => add.post(1, 0, offset, 1, 0))).toMatchObject({
        name: 'RangeError',
        code: 'ERR_OUT_OF_RANGE',
        message: `"remoteOffset" must be such that the address of an atomic is a multiple of 8, not ${offset}`,
      })
    }
    const address = `0x${(b.memory.address + 4n).toString(16)}`
    const odd = a.pair.prepareFetchAndAdd({ memory: a.memory, remote: { ...b.memory.remote, address } })
    expect(thrownBy(() => odd.post(1, 0, 0, 1, 0))).toMatchObject({ code: 'ERR_OUT_OF_RANGE' })
    expect(odd.post(1, 0, 4, 1, 0)).toBe(0)
  })

  it.each([
    [[], 0],
    [[4], 4],
    [[8, 8], 16],
  ])('takes exactly 8 bytes, not elements of %j', (lengths) => {
    const [a, b] = rxe.connected('RC', { maxSendSge: 2 })
    const elements = lengths.map((length) => ({ memory: a.memory, length }))
    a.pair.prepareFetchAndAdd({ elements, remote: b.memory.remote }).post(3, 0, 0, 1, 0)
    expect(a.pair.submit()).toBe(0)
    expect(a.pair.error).toMatchObject({
      code: 'EINVAL',
      cookie: 3,
      message: 'EINVAL: ibv_post_send: an atomic takes exactly 8 bytes',
    })
  })

  it.each(['UC', 'UD'] as const)('is not for %s', (type) => {
    const [a, b] = rxe.connected(type)
    for (const prepare of ['prepareFetchAndAdd', 'prepareCompareAndSwap', 'prepareRead'] as const) {
      expect(thrownBy(() => a.pair[prepare]({ memory: a.memory, remote: b.memory.remote }))).toMatchObject({
        name: 'VerbsError',
        code: 'ENOTSUP',
        syscall: prepare,
        message: `ENOTSUP: ${prepare}: the queue pair is of type ${type}: it takes RC`,
      })
    }
  })
})
