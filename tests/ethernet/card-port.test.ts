/** What the ring vocabulary answers for a card's rings: the one receiver and the one transmitter move their frames. */
import { FramePool, type PacketQueue } from 'ibverbs/ethernet'
import { expect, test } from 'vitest'
import { queueOver } from '../../dist/ethernet/packet-queue.js'
import { Random } from '../beds/random.js'
import { CardPort } from './card-port.js'

function open(frameCount: number, batch: number, receiveFrames: number) {
  const frames = new FramePool({ frameCount, frameSize: 2048 })
  const made: CardPort[] = []
  const queue = queueOver(
    frames,
    batch,
    (onEvent) => {
      made.push(new CardPort(64, onEvent))
      return made[0]
    },
    receiveFrames,
  )
  return { queue, frames, port: made[0] }
}

function receiveAll(queue: PacketQueue): number[] {
  const lengths: number[] = []
  for (let n = queue.receive(); n > 0; n = queue.receive()) {
    lengths.push(...queue.columns.lengths.subarray(0, n))
    queue.releaseMany(queue.columns.slots, n)
  }
  return lengths
}

test('one completion stands for several received frames, which a batch may cut', () => {
  const { queue, port, frames } = open(64, 4, 32)
  port.deliver(7, 100)
  port.deliver(1, 60)
  port.deliver(3, 1514)
  expect(queue.receive()).toBe(4)
  expect([...queue.columns.lengths]).toEqual([100, 100, 100, 100])
  expect(new Set(queue.columns.offsets).size).toBe(4)
  // The first completion is not used up.
  expect(port.receive.words[16]).toBe(0)
  queue.releaseMany(queue.columns.slots, 4)
  expect(receiveAll(queue)).toEqual([100, 100, 100, 60, 1514, 1514, 1514])
  expect(port.receive.words[16]).toBe(3)
  expect(frames.free).toBe(32)
  queue.close()
})

test('one completion retires all frames before it, of one hand-over or of several', () => {
  const { queue, port, frames } = open(32, 8, 0)
  const slots = new Int32Array(5)
  const offsets = new Uint32Array(5)
  for (const lengths of [[60, 61, 62, 63, 64], [70, 71], [80]]) {
    const count = lengths.length
    expect(queue.claimMany(slots, offsets, count)).toBe(count)
    queue.sendMany(slots, Uint32Array.from(lengths), count)
    expect(queue.submit()).toBe(count)
    expect(queue.pending).toBe(0)
  }
  expect(port.sent).toEqual([[60, 61, 62, 63, 64], [70, 71], [80]])
  expect(frames.free).toBe(32 - 8)
  queue.submit()
  expect(frames.free).toBe(32 - 8)
  port.complete()
  queue.submit()
  expect(frames.free).toBe(32)
  expect(queue.statistics()).toMatchObject({ transmitted: 8, refused: 0, invalid: 0 })
  queue.close()
})

test('every frame is somewhere, whatever completes when', () => {
  const random = new Random(20261130)
  const { queue, port, frames } = open(64, 8, 24)
  const held: number[] = []
  let received = 0
  let delivered = 0
  let sent = 0
  for (let round = 0; round < 20_000; round++) {
    switch (random.below(5)) {
      case 0: {
        const ready = port.fill.words[0] - port.fill.words[16]
        const count = Math.min(ready, random.integer(1, 9))
        if (count === 0) break
        port.deliver(count, random.integer(60, 1514))
        delivered += count
        break
      }
      case 1: {
        const n = queue.receive()
        received += n
        held.push(...queue.columns.slots.subarray(0, n))
        break
      }
      case 2:
        while (held.length > 0 && random.chance(0.7)) queue.release(held.pop() as number)
        break
      case 3: {
        const slot = queue.claim()
        if (slot < 0) break
        queue.send(slot, random.integer(60, 1514))
        sent += queue.submit()
        break
      }
      default:
        port.complete()
        queue.submit()
    }
  }
  port.complete()
  queue.submit()
  for (const slot of held) queue.release(slot)
  received += receiveAll(queue).length
  expect(received).toBe(delivered)
  expect(queue.statistics()).toMatchObject({ transmitted: sent, invalid: 0, received })
  queue.close()
  expect(frames.free).toBe(64)
})

test('a queue is armed before it sleeps: no frame is missed, however late it comes', async () => {
  const { queue, port } = open(64, 8, 32)
  // After the arming: an event.
  let waiting = queue.wait()
  expect(port.armed).toBe(1)
  port.deliver(2, 100)
  expect(await waiting).toBe(2)
  expect(port.events).toBe(1)
  expect(receiveAll(queue)).toEqual([100, 100])
  // Without an arming there is none.
  port.deliver(1, 101)
  expect(port.events).toBe(1)
  expect(receiveAll(queue)).toEqual([101])
  // Between the last look and the arming: the arming says so.
  port.beforeArming = () => {
    port.beforeArming = () => {}
    port.deliver(3, 102)
  }
  waiting = queue.wait()
  expect(await waiting).toBe(3)
  expect(port.events).toBe(1)
  expect(receiveAll(queue)).toEqual([102, 102, 102])
  queue.close()
})
