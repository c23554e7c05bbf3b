/** Messages by the driver of ibverbs/mlx5: more memory regions and address handles than it has lines for. */
import { expect, test } from 'vitest'
import { native } from '../../dist/native.js'
import { completions } from '../beds/rxe.js'
import { connected, useMessages } from './messages.js'

useMessages()

/** The 40 bytes in front of a datagram (GRH). */
const headBytes = 40

test('each address vector is asked for once, however often others take its line', async () => {
  using both = connected(['mlx5', 'mlx5'], { type: 'UD' })
  const { a, b } = both
  const { addressVector } = native.mlx5
  let asked = 0
  native.mlx5.addressVector = (id) => {
    asked++
    return addressVector(id)
  }
  try {
    const { endpoint, number } = b.pair
    const sends = Array.from({ length: 150 }, (_, i) => {
      const memory = a.domain.registerMemory(64)
      memory.bytes.fill(i)
      const addressHandle = a.domain.createAddressHandle(endpoint)
      const to = { addressHandle, remoteQueuePair: number, remoteQueueKey: endpoint.queueKey }
      return a.pair.prepareSend({ memory, ...to })
    })
    const receive = b.pair.prepareReceive({ memory: b.memory })
    for (let lap = 0; lap < 2; lap++) {
      for (const [i, send] of sends.entries()) {
        receive.post(i, 0, headBytes + 64)
        b.pair.submit()
        send.post(i)
        expect([a.pair.submit(), a.pair.error]).toEqual([1, null])
        await completions(b.receiveCq, 1)
        expect(b.memory.bytes.slice(headBytes, headBytes + 64)).toEqual(new Uint8Array(64).fill(i))
        await completions(a.sendCq, 1)
      }
    }
    expect(asked).toBe(sends.length)
  } finally {
    native.mlx5.addressVector = addressVector
  }
})
