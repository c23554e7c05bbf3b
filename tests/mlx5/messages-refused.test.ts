/** What the driver of messages of ibverbs/mlx5 does not do. */
import { createCompletionQueue, createQueuePair, direct, type Mlx5CompletionQueueOptions } from 'ibverbs/mlx5'
import { describe, expect, test } from 'vitest'
import { native } from '../../dist/native.js'
import { thrownBy } from '../beds/process.js'
import { type Side, side, useMessages } from './messages.js'

useMessages()

describe('what a driver of messages does not do is refused in words', () => {
  const refused: [string, string, (a: Side) => unknown][] = [
    [
      'raw frames',
      `"options.type" must be 'RC', 'UC' or 'UD' with driver 'mlx5': raw frames have a driver in PacketQueue, with backend 'mlx5'`,
      ({ domain, sendCq: cq }) => createQueuePair(domain, { type: 'RAW_PACKET', cq, driver: 'mlx5' }),
    ],
    [
      'messages in completions',
      `"options.scatterToCqe" must be left out or false with driver 'mlx5'`,
      ({ domain, sendCq: cq }) =>
        createQueuePair(domain, { type: 'RC', cq, driver: 'mlx5', scatterToCqe: true }),
    ],
    [
      'compressed completions',
      `"options.compression" must be left out: driver 'mlx5' reads entries of messages, one each`,
      ({ domain }) => createCompletionQueue(domain, 8, { driver: 'mlx5', compression: 'HASH' }),
    ],
    [
      'the device’s clock in completions',
      `"options.timestamps" must be left out or false with driver 'mlx5'`,
      ({ domain }) => createCompletionQueue(domain, 8, { driver: 'mlx5', timestamps: true }),
    ],
    [
      'a completion queue of libibverbs',
      `"options.receiveCq" must be a completion queue that ibverbs/mlx5's createCompletionQueue created with the same driver`,
      ({ domain, sendCq, context }) =>
        createQueuePair(domain, {
          ...{ type: 'RC', driver: 'mlx5', sendCq, maxSendWr: 1 },
          receiveCq: context.createCompletionQueue(64),
        }),
    ],
    [
      'a queue pair of libibverbs on its completion queue',
      `"options.cq" must be a completion queue of libibverbs: its driver is ibverbs/mlx5's, which only queue pairs with that driver can use`,
      ({ domain, sendCq: cq }) => domain.createQueuePair({ type: 'RC', cq }),
    ],
    [
      'an unknown driver',
      `"options.driver" must be one of libibverbs, mlx5, not 'mlx4'`,
      ({ domain }) =>
        createCompletionQueue(domain, 8, { driver: 'mlx4' } as unknown as Mlx5CompletionQueueOptions),
    ],
  ]
  test.each(refused)('%s', (_, words, refuse) => {
    const a = side('mlx5', 0, { maxSendWr: 8, maxReceiveWr: 8 })
    const before = native.handleCount()
    expect(thrownBy(() => refuse(a)).message).toContain(words)
    expect(native.handleCount() - before).toBeLessThanOrEqual(1) // the queue of libibverbs
    a.context.close()
  })

  test('its rings are not for direct()', () => {
    const a = side('mlx5')
    for (const each of [() => direct(a.pair), () => direct(a.sendCq)]) {
      expect(thrownBy(each)).toMatchObject({ code: 'ERR_IBVERBS_DIRECT' })
      expect(thrownBy(each).message).toContain('the driver of ibverbs/mlx5 has the rings of this')
    }
    a.pair.connect(a.pair.endpoint)
    a.pair.prepareReceive({ memory: a.memory }).post(1)
    expect(a.pair.submit()).toBe(1)
    a.context.close()
  })
})
