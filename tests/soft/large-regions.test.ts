/** Regions of 4 GiB and more: the memory is only reserved, and the tests touch a few pages of it. */
import { constants } from 'node:buffer'
import { Arena, open } from 'ibverbs'
import { softConnectX } from 'ibverbs/soft'
import { afterAll, describe, expect, test } from 'vitest'
import { native } from '../../dist/native.js'
import { thrownBy } from '../beds/process.js'

const gib = 2 ** 30
/** Node 20 has typed arrays of 4 GiB at most, later versions as much as the system gives. */
const longest = constants.MAX_LENGTH

const soft = softConnectX({ wire: 'loop' })
const context = open('mlx5_soft0')
const domain = context.allocateProtectionDomain()
const cq = context.createCompletionQueue(512)
afterAll(() => {
  context.close()
  soft.close()
})

describe.each([4, 5].filter((size) => size * gib <= longest))('%i GiB', (size) => {
  const length = size * gib

  test('are an arena, from a page on to the last byte', () => {
    const { bytes, byteLength } = Arena.allocate(length)
    expect([bytes.length, byteLength]).toEqual([length, length])
    expect(native.ring.alignmentGap(bytes.subarray(0, 1), native.ring.pageSize)).toBe(0)
    bytes[length - 1] = 7
    expect(bytes[length - 1]).toBe(7)
  })

  // Read-only: the software ConnectX would populate all of a writable region.
  test('are a region, whose last bytes reach a peer', async () => {
    const memory = domain.registerMemory(length, { access: [] })
    expect([memory.length, memory.remote.length, memory.arena.byteLength]).toEqual([length, length, length])
    const target = domain.registerMemory(4096, { access: ['LOCAL_WRITE', 'REMOTE_WRITE'] })
    const pair = domain.createQueuePair({ type: 'RC', cq })
    pair.connect(pair.endpoint)
    const write = pair.prepareWrite({ memory, remote: target.remote })
    memory.bytes.set([1, 2, 3, 4, 5, 6, 7, 8], length - 8)
    expect(write.post(1, length - 8, 8, 16)).toBe(0)
    pair.submit()
    expect(await cq.wait()).toBe(1)
    expect(cq.statusName(0)).toBe('SUCCESS')
    expect([...target.bytes.subarray(16, 24)]).toEqual([1, 2, 3, 4, 5, 6, 7, 8])

    const { longestMessage } = pair
    expect(thrownBy(() => write.post(1)).message).toBe(
      `"length" must be an integer from 0 to ${longestMessage}, the queue pair's longest message, not ${length}`,
    )
    expect(thrownBy(() => write.post(1, length - 8, 9)).message).toBe(
      '"length" must be an integer from 0 to 8, not 9',
    )
    expect(thrownBy(() => pair.prepareWrite({ elements: [{ memory }], remote: target.remote })).message).toBe(
      `"options.elements[0].length" must be an integer from 0 to ${2 ** 32 - 1}, all that one element takes, not ${length}`,
    )
    pair.close()
    memory.close()
  })
})

test('beyond a view’s limit are refused, with the limit', () => {
  const size = Math.min(longest + 1, Number.MAX_SAFE_INTEGER)
  if (size > longest) {
    const range = `an integer from 1 to ${longest}, not ${size}`
    expect(thrownBy(() => domain.registerMemory(size))).toMatchObject({
      code: 'ERR_OUT_OF_RANGE',
      message: `"memory" must be ${range}`,
    })
    expect(thrownBy(() => Arena.allocate(size)).message).toBe(`"byteLength" must be ${range}`)
    const buffer = new SharedArrayBuffer(size)
    expect(thrownBy(() => domain.registerMemory(buffer))).toMatchObject({
      code: 'ERR_OUT_OF_RANGE',
      message: `"memory.byteLength" must be an integer from 0 to ${longest}, not ${size}`,
    })
  }
  // More than any machine has.
  const most = Math.min(longest, 2 ** 50)
  if (most === 2 ** 50) {
    expect(thrownBy(() => domain.registerMemory(most)).message).toBe(
      `"memory": ${most} bytes of shared memory cannot be had`,
    )
  }
})
