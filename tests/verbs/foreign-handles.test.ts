/** Handles, options and stretches of memory that do not go together. */
import type { CompletionQueue, Context, ProtectionDomain, QueuePair } from 'ibverbs'
import { describe, expect, it } from 'vitest'
import { thrownBy, useRxe } from '../beds/rxe.js'
import { makeWorld, type World } from './garbage.js'

const rxe = useRxe()

describe('handles of another domain or context', () => {
  const own = "must be a region of the queue pair's own protection domain"
  const cases: [string, RegExp, (world: World) => unknown][] = [
    [
      'a region of another context',
      new RegExp(`^"options.memory" ${own}`),
      ({ side, other }) => side.pair.prepareSend({ memory: other.memory }),
    ],
    [
      'a completion queue of another context',
      /^"options.cq" must be of the domain's own context/,
      ({ side, other }) => side.domain.createQueuePair({ type: 'RC', cq: other.cq }),
    ],
    [
      'a receive queue of another context',
      /^"options.receiveCq" must be of the domain's own context/,
      ({ side, other }) => side.domain.createQueuePair({ type: 'RC', sendCq: side.cq, receiveCq: other.cq }),
    ],
  ]
  it.each(cases)('%s', (_, message, call) => {
    const world = makeWorld(rxe)
    expect(() => call(world)).toThrow(message)
    expect(() => call(world)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }))
  })

  it('a region of another domain, as the second element', () => {
    const { domain, cq, pair, memory } = rxe.side('RC', 0, { entries: 1000, maxSendSge: 2 })
    const foreign = domain.context.allocateProtectionDomain().registerMemory(1)
    expect(pair.capabilities.maxSendSge).toBeGreaterThanOrEqual(2)
    expect(() => pair.prepareSend({ elements: [{ memory }, { memory: foreign }] })).toThrow(
      /^"options.elements\[1\].memory" must be a region of the queue pair's own protection domain/,
    )
    expect(cq.closed).toBe(false)
  })

  it('more elements than the queue pair takes', () => {
    const { pair, memory } = rxe.side('RC', 0, { maxSendSge: 2, maxReceiveSge: 1 })
    const elements = [{ memory }, { memory }, { memory }]
    expect(() => pair.prepareSend({ elements })).toThrow(
      /^"options.elements.length" must be an integer from 0 to 2, not 3$/,
    )
    expect(() => pair.prepareReceive({ elements: elements.slice(1) })).toThrow(/from 0 to 1, not 2$/)
  })

  it('memory and elements at once', () => {
    const { pair, memory } = rxe.side('RC')
    expect(() => pair.prepareSend({ memory, elements: [] })).toThrow(
      /^"options.elements" must be left out where there is a memory/,
    )
  })

  it('options that do not apply to the queue pair’s type', () => {
    const { pair, domain, cq } = rxe.side('UC')
    const datagram = rxe.side('UD').pair
    for (const [call, message] of [
      [
        () => pair.connect(pair.endpoint, { timeout: 14 }),
        '"options.timeout" must be left out: a queue pair of type UC has none, only RC, not 14',
      ],
      [
        () => datagram.connect(undefined, { pathMtu: 1024 }),
        '"options.pathMtu" must be left out: a queue pair of type UD has none, only RC and UC, not 1024',
      ],
      [
        () => datagram.initialize({ access: [] }),
        '"options.access" must be left out: a queue pair of type UD has none, only RC and UC, not []',
      ],
      [
        () => domain.createQueuePair({ type: 'RC', cq, queueKey: 5 }),
        '"options.queueKey" must be left out: a queue pair of type RC has none, only UD, not 5',
      ],
    ] as const) {
      const error = thrownBy(call)
      expect([error.name, error.message]).toEqual(['TypeError', message])
    }
    expect([pair.state, datagram.state]).toEqual(['RESET', 'RESET'])
  })

  it('stretches that leave the region', () => {
    const { pair, memory } = rxe.side('RC', 0, { size: 1000 })
    const send = pair.prepareSend({ memory })
    for (const [offset, length, message] of [
      [1001, 0, '"offset" must be an integer from 0 to 1000, not 1001'],
      [1000, 1, '"length" must be an integer from 0 to 0, not 1'],
      [1, 1000, '"length" must be an integer from 0 to 999, not 1000'],
      [0, 2 ** 32, '"length" must be an integer from 0 to 1000, not 4294967296'],
    ] as const) {
      expect(() => send.post(1, offset, length)).toThrow(message)
    }
    const write = pair.prepareWrite({ memory, remote: { ...memory.remote, length: 500 } })
    expect(() => write.post(1, 0, 501)).toThrow(
      '"remoteOffset" must be such that 501 bytes lie in the 500 of the peer, not 0',
    )
    expect(() => write.post(1, 0, 500, 1)).toThrow(
      '"remoteOffset" must be such that 500 bytes lie in the 500 of the peer, not 1',
    )
    expect(pair.sendFree).toBe(64)
    expect(write.post(1, 500, 500, 0)).toBe(0)
  })

  it('classes that users do not construct', () => {
    const { context, domain, cq, pair, memory, addressHandle } = {
      ...makeWorld(rxe).side,
      addressHandle: makeWorld(rxe).addressHandle,
    }
    for (const handle of [context, domain, cq, pair, memory, addressHandle] as (
      | Context
      | ProtectionDomain
      | CompletionQueue
      | QueuePair
    )[]) {
      const type = Object.getPrototypeOf(handle)
      // Methods on a foreign object meet the private fields that it lacks.
      const fake = Object.create(type)
      expect(() => fake.close()).toThrow(TypeError)
      expect(() => fake.closed).toThrow(TypeError)
    }
  })
})
