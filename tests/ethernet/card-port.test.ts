/** What the ring vocabulary answers for a card's rings: the one receiver and the one transmitter move their frames. */
import { FrameFlag, FramePool, type PacketQueue } from 'ibverbs/ethernet'
import { describe, expect, test } from 'vitest'
import { queueOver } from '../../dist/ethernet/packet-queue.js'
import { Random } from '../beds/random.js'
import { CardPort } from './card-port.js'

function open(frameCount: number, batch: number, receiveFrames: number, framesPerBuffer?: number) {
  const frames = new FramePool({ frameCount, frameSize: 2048 })
  const made: CardPort[] = []
  const queue = queueOver(
    frames,
    batch,
    (onEvent) => {
      made.push(new CardPort(64, onEvent, framesPerBuffer))
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

describe('four frames a buffer', () => {
  test('a buffer goes back to the device when the last of its frames was released', () => {
    const { queue, port, frames } = open(96, 8, 16, 4)
    // The device has these, and takes its time: they are not kept, and their buffers cannot be posted.
    for (let i = 0; i < 64; i++) queue.send(queue.claim(), 60)
    while (queue.pending > 0) queue.submit()
    expect([port.ready, frames.free]).toEqual([16, 16])
    port.deliver(8, 100)
    expect(queue.receive()).toBe(8)
    const slots = [...queue.columns.slots]
    const offsets = [...queue.columns.offsets]
    // Neighbours, each in a place of its own.
    expect(offsets.map((offset, i) => offset - offsets[i & 4])).toEqual(
      [0, 1, 2, 3, 0, 1, 2, 3].map((i) => i * 2048),
    )
    // Two other buffers were posted at once; with a frame kept of each of these, no others are whole when all else is free.
    expect([port.ready, frames.free]).toEqual([16, 8])
    const kept = [slots[0], slots[4]]
    for (const slot of slots) if (!kept.includes(slot)) queue.release(slot)
    port.deliver(16, 60)
    expect(receiveAll(queue)).toHaveLength(16)
    expect(queue.receive()).toBe(0)
    expect([port.ready, frames.free]).toEqual([16, 14])
    port.deliver(16, 60)
    queue.receive()
    queue.receive()
    expect([port.ready, frames.free]).toEqual([8, 6])
    // All neighbours of the kept frames are free; now the frames themselves, one by one.
    queue.release(kept[0])
    expect(queue.receive()).toBe(0)
    expect([port.ready, frames.free]).toEqual([12, 3])
    queue.release(kept[1])
    expect(queue.receive()).toBe(0)
    expect([port.ready, frames.free]).toEqual([16, 0])
    queue.close()
    // The others are still the caller's.
    expect(frames.free).toBe(80)
  })

  test('a place that stays unused is passed over; what lies in two places is one frame, cut to the first', () => {
    const { queue, port, frames } = open(32, 8, 16, 4)
    port.deliver(3, 100)
    port.deliverLong(2048 + 100)
    port.deliver(1, 60)
    expect(queue.receive()).toBe(5)
    const { slots, lengths, flags } = queue.columns
    expect([...lengths.subarray(0, 5)]).toEqual([100, 100, 100, 2048, 60])
    expect([...flags.subarray(0, 5)]).toEqual([0, 0, 0, FrameFlag.truncated, 0])
    queue.releaseMany(slots, 5)
    expect(queue.statistics()).toMatchObject({ received: 5, truncated: 1, invalid: 0 })
    queue.close()
    expect(frames.free).toBe(32)
  })

  test('a refill looks at a part of a large pool only, and finds buffers wherever they are', () => {
    const count = 4096
    const large = open(count, 8, 32, 4)
    expect([large.port.ready, large.frames.free]).toEqual([32, count - 32])
    large.queue.close()
    // All frames are in use but the last 64.
    const { queue, frames } = open(count, 8, 0)
    const slots = Array.from({ length: count }, () => queue.claim())
    for (const slot of slots) if (queue.offset(slot) >= (count - 64) * 2048) queue.release(slot)
    expect(frames.free).toBe(64)
    const ports: CardPort[] = []
    const connect = (onEvent: () => void) => {
      ports.push(new CardPort(64, onEvent, 4))
      return ports[0]
    }
    const striding = queueOver(frames, 8, connect, 32)
    expect([ports[0].ready, frames.free]).toEqual([32, 32])
    striding.close()
    queue.close()
  })

  test('the frames are the queue’s thread’s own', () => {
    const { queue, frames } = open(32, 8, 16, 4)
    expect(() => frames.share()).toThrow(/whole buffers of these frames/)
    queue.close()
    // 64: as many as a thread keeps to itself at most.
    for (const frameCount of [32, 64, 128]) {
      const shared = new FramePool({ frameCount, frameSize: 2048 })
      shared.share()
      const open = (pool: FramePool) => queueOver(pool, 8, (onEvent) => new CardPort(64, onEvent, 4), 16)
      expect(() => open(shared)).toThrow(/threads share/)
      expect(() => open(FramePool.join(shared.share()))).toThrow(/threads share/)
    }
  })
})

test.each([1, 4])(
  'every frame is somewhere, whatever completes when: %i frames a buffer',
  (framesPerBuffer) => {
    const random = new Random(20261130)
    const { queue, port, frames } = open(64, 8, 24, framesPerBuffer)
    const held: number[] = []
    let received = 0
    let delivered = 0
    let sent = 0
    for (let round = 0; round < 20_000; round++) {
      switch (random.below(5)) {
        case 0: {
          const count = Math.min(port.ready, random.integer(1, 9))
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
  },
)

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
