/** Access to regions: nothing is open that the caller did not ask for, and an error names the missing flag. */
import type { Access, MemoryRegion } from 'ibverbs'
import { describe, expect, it } from 'vitest'
import { completion, expectBytes, pattern, type Side, thrownBy, useRxe } from '../beds/rxe.js'

const rxe = useRxe()

const requests = {
  write: (a: Side, region: MemoryRegion) =>
    a.pair.prepareWrite({ memory: a.memory, remote: region.remote }).post(7, 0, 8),
  read: (a: Side, region: MemoryRegion) =>
    a.pair.prepareRead({ memory: a.memory, remote: region.remote }).post(7, 0, 8),
  atomic: (a: Side, region: MemoryRegion) =>
    a.pair.prepareFetchAndAdd({ memory: a.memory, remote: region.remote }).post(7, 0, 0, 1, 0),
}
type Kind = keyof typeof requests

/** The access that each kind needs of the region, and of the queue pair. */
const needed: [Kind, Access[], Access][] = [
  ['write', ['LOCAL_WRITE', 'REMOTE_WRITE'], 'REMOTE_WRITE'],
  ['read', ['REMOTE_READ'], 'REMOTE_READ'],
  ['atomic', ['LOCAL_WRITE', 'REMOTE_ATOMIC'], 'REMOTE_ATOMIC'],
]
const remoteFlags: Access[] = ['REMOTE_WRITE', 'REMOTE_READ', 'REMOTE_ATOMIC']

/** The request's completion: its status, and its error message. */
async function result(a: Side, kind: Kind, region: MemoryRegion): Promise<[string, string]> {
  expect(requests[kind](a, region)).toBe(0)
  a.pair.submit()
  expect(await completion(a.cq)).toMatchObject({ cookie: 7 })
  return [a.cq.statusName(0), a.cq.statusHint(0)]
}

describe('a region registered without access flags', () => {
  it.each(needed)(
    'is closed to a peer: its %s is REM_ACCESS_ERR, and the hint names %s',
    async (kind, access) => {
      const [a, b] = rxe.connected('RC')
      const region = b.domain.registerMemory(4096)
      expect(region.access).toEqual(['LOCAL_WRITE'])
      region.bytes.fill(5)
      const [status, hint] = await result(a, kind, region)
      expect(status).toBe('REM_ACCESS_ERR')
      expect(hint).toContain(` needs ${access.join(' and ')} in the access of the peer's region`)
      expect(region.bytes.every((byte) => byte === 5)).toBe(true)
    },
  )

  it('can receive', async () => {
    const [a, b] = rxe.connected('RC')
    const region = b.domain.registerMemory(4096)
    b.pair.prepareReceive({ memory: region }).post(1)
    b.pair.submit()
    a.memory.bytes.set(pattern(100, 1))
    a.pair.prepareSend({ memory: a.memory }).post(2, 0, 100)
    a.pair.submit()
    expect(await completion(b.cq)).toMatchObject({ status: 'SUCCESS', byteLength: 100 })
    expectBytes(region.bytes.subarray(0, 100), pattern(100, 1))
  })
})

describe('access is the exact list', () => {
  it.each(needed)('%s takes %j', async (kind, access) => {
    const [a, b] = rxe.connected('RC')
    const region = b.domain.registerMemory(4096, { access })
    expect(region.access).toEqual(access)
    expect(await result(a, kind, region)).toEqual(['SUCCESS', ''])
  })

  it('[] is read-only: a source of sends and writes', async () => {
    const [a, b] = rxe.connected('RC')
    const region = a.domain.registerMemory(4096, { access: [] })
    region.bytes.set(pattern(4096, 2))
    b.pair.prepareReceive({ memory: b.memory }).post(1)
    b.pair.submit()
    a.pair.prepareSend({ memory: region }).post(2, 0, 1000)
    a.pair.submit()
    expect(await completion(b.cq)).toMatchObject({ status: 'SUCCESS', byteLength: 1000 })
    expectBytes(b.memory.bytes.subarray(0, 1000), pattern(4096, 2).subarray(0, 1000))
    await completion(a.cq)
    a.pair.prepareWrite({ memory: region, remote: b.memory.remote }).post(3, 0, 4096)
    a.pair.submit()
    expect(await completion(a.cq)).toMatchObject({ cookie: 3, status: 'SUCCESS' })
    expectBytes(b.memory.bytes.subarray(0, 4096), pattern(4096, 2))
  })

  it.each<[Access[]]>([[[]], [['REMOTE_READ']]])(
    '%j takes no receive, read or atomic, for that reason',
    (access) => {
      const [a] = rxe.connected('RC', { maxSendSge: 2, maxReceiveSge: 2 })
      const memory = a.domain.registerMemory(4096, { access })
      const { remote } = a.memory
      const elements = [{ memory: a.memory }, { memory }]
      for (const [name, writer, prepare] of [
        ['memory', 'a receive', () => a.pair.prepareReceive({ memory })],
        ['elements[1].memory', 'a receive', () => a.pair.prepareReceive({ elements })],
        ['memory', 'a read', () => a.pair.prepareRead({ memory, remote })],
        ['elements[1].memory', 'a read', () => a.pair.prepareRead({ elements, remote })],
        ['memory', 'an atomic', () => a.pair.prepareFetchAndAdd({ memory, remote })],
        ['memory', 'an atomic', () => a.pair.prepareCompareAndSwap({ memory, remote })],
      ] as const) {
        const error = thrownBy(prepare)
        expect(error).toBeInstanceOf(TypeError)
        expect(error.message).toContain(
          `"options.${name}" must be a region that was registered with LOCAL_WRITE, since ${writer} writes to it, not [`,
        )
      }
    },
  )

  it('a request that passes the argument check is refused at the post', () => {
    const [a] = rxe.connected('RC')
    const memory = a.domain.registerMemory(4096, { access: [] })
    // Not for users: makes the property differ from the registered access.
    Object.defineProperty(memory, 'access', { value: ['LOCAL_WRITE'] })
    a.pair.prepareReceive({ memory }).post(5)
    expect(a.pair.submit()).toBe(0)
    expect(a.pair.error).toMatchObject({
      code: 'EINVAL',
      cookie: 5,
      message:
        'EINVAL: ibv_post_recv: element 0 names a memory region without LOCAL_WRITE, to which this request writes',
    })
    a.pair.prepareRead({ memory, remote: a.memory.remote }).post(6, 0, 8)
    expect(a.pair.submit()).toBe(0)
    expect(a.pair.error).toMatchObject({ syscall: 'ibv_post_send', cookie: 6 })
  })

  it.each<[Access[]]>([[['REMOTE_WRITE']], [['REMOTE_ATOMIC', 'REMOTE_READ']]])(
    '%j lacks LOCAL_WRITE',
    (access) => {
      const { domain } = rxe.side('RC')
      expect(thrownBy(() => domain.registerMemory(64, { access })).message).toContain(
        '"options.access" must be with LOCAL_WRITE where a peer may write',
      )
    },
  )

  it.each(['MW_BIND', 'ZERO_BASED', 'remote_read', 5])('there is no %j', (flag) => {
    const { domain } = rxe.side('RC')
    expect(thrownBy(() => domain.registerMemory(64, { access: [flag as Access] })).message).toMatch(
      /^"options.access" must be made of LOCAL_WRITE, /,
    )
  })
})

describe('a queue pair of a connected type', () => {
  it.each([{ remoteQueuePair: 5 }, { remoteQueueKey: 5 }])('takes no %j', (options) => {
    const { pair, memory } = rxe.side('RC')
    const [name] = Object.keys(options)
    expect(thrownBy(() => pair.prepareSend({ memory, ...options })).message).toBe(
      `"options.${name}" must be left out: a queue pair of type RC has one peer, or none, not 5`,
    )
  })
})

describe('a queue pair', () => {
  it('allows the access that its regions grant', () => {
    const [a] = rxe.connected('RC')
    expect(a.pair.query().access).toEqual(remoteFlags)
  })

  it.each(needed)(
    'that was narrowed refuses a %s: REM_INV_REQ_ERR, whose hint names the flag',
    async (kind, _, flag) => {
      const access = remoteFlags.filter((each) => each !== flag)
      const [a, b] = rxe.connected('RC', {}, { access })
      expect(b.pair.query().access).toEqual(access)
      const [status, hint] = await result(a, kind, b.memory)
      expect(status).toBe('REM_INV_REQ_ERR')
      expect(hint).toContain(` needs ${flag} in the access of the peer's queue pair`)
    },
  )
})
