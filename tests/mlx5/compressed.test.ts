/** Compressed completions as the driver reads them: sessions of every length, across the ring's end, laps and laps. */
import { layout } from 'ibverbs/mlx5'
import { expect, test } from 'vitest'
import type { DirectCompletionQueue, DirectQueuePair } from '../../dist/mlx5/direct.js'
import { receiveQueue } from '../../dist/mlx5/driver/receive-queue.js'
import { Random } from '../beds/random.js'

const entryBytes = 64
const { frameCqe, miniHash, CqeOpcode, CqeFormat, CqeCheck } = layout
const { fields } = frameCqe
const goodChecks = CqeCheck.L3_OK | CqeCheck.L4_OK

function ring(count: number, stride: number) {
  const buffer = new SharedArrayBuffer(count * stride)
  return {
    ...{ bytes: new Uint8Array(buffer), view: new DataView(buffer), stride, count },
    record: new Int32Array(new SharedArrayBuffer(4)),
  }
}

/** What a device writes: entries that it owns no more, from the last one on. */
class Device {
  readonly entries
  readonly #count: number
  #next = 0

  constructor(count: number) {
    this.entries = ring(count, entryBytes)
    this.#count = count
    for (let i = 0; i < count; i++) {
      this.entries.view.setUint8(i * entryBytes + fields.opcode.offset, CqeOpcode.INVALID << 4)
    }
  }

  /** One frame, in an entry of its own. */
  frame(length: number, good: boolean): void {
    this.#entry(this.#next, length, CqeFormat.NO_INLINE_DATA, good)
    this.#next++
  }

  /** A session: the title is written last, as it is what a driver waits for. */
  session(lengths: readonly number[], good: boolean): void {
    const { view } = this.entries
    for (const [i, length] of lengths.entries()) {
      const holder = this.#next + (i < 8 ? 1 : i - (i % 8))
      const at = (holder % this.#count) * entryBytes + (i % 8) * miniHash.length
      view.setUint32(at, 0xdeadbeef)
      view.setUint32(at + miniHash.fields.byteCount.offset, length)
    }
    this.#entry(this.#next, lengths.length, CqeFormat.COMPRESSED, good)
    this.#next += lengths.length
  }

  #entry(number: number, byteCount: number, format: number, good: boolean): void {
    const { view } = this.entries
    const at = (number % this.#count) * entryBytes
    view.setUint32(at + fields.byteCount.offset, byteCount)
    view.setUint8(at + fields.checks.offset, good ? goodChecks : CqeCheck.L3_OK)
    const owner = Math.floor(number / this.#count) & 1
    view.setUint16(at + fields.wqeCounter.offset, number & 0xffff)
    view.setUint8(at + fields.opcode.offset, (CqeOpcode.RESP_SEND << 4) | (format << 2) | owner)
  }
}

function open(entries: number, batch: number) {
  const device = new Device(entries)
  const requests = ring(entries, 32)
  const { requests: fill, completions } = receiveQueue({
    pair: { receive: requests } as unknown as DirectQueuePair,
    completions: device.entries as unknown as DirectCompletionQueue,
    ...{ key: 1, base: 0, headroom: 0, room: 2048, batch, checksumValid: 4 },
    overflow: { address: 0n, length: 1, key: 1 },
    failed: (entry) => {
      throw new Error(`a failure: ${entry}`)
    },
  })
  for (let i = 0; i < entries; i++) fill.pushAddress(i * 2048)
  const take = (count: number) =>
    Array.from({ length: count }, (_, i) => {
      const at = completions.at(i)
      return [completions.address(at), completions.length(at), completions.flags(at)]
    })
  return { device, fill, completions, take }
}

test.each(Array.from({ length: 65 }, (_, i) => i).filter((count) => count > 0))(
  'a session of %i, alone and beside plain entries, from every place of the ring',
  (count) => {
    const { device, fill, completions, take } = open(128, 64)
    let number = 0
    for (let first = 0; first < 128; first++) {
      const lengths = Array.from({ length: count }, (_, i) => 60 + ((number + i) % 1400))
      device.frame(1500, true)
      device.session(lengths, first % 2 === 0)
      const expected = [1500, ...lengths].map((length, i) => {
        const good = i === 0 || first % 2 === 0
        return [((number + i) % 128) * 2048, length, good ? 4 : 0]
      })
      // What a batch cuts is there at the next look.
      const got = []
      for (let ready = completions.available(); ready > 0; ready = completions.available()) {
        const some = Math.min(ready, 7)
        got.push(...take(some))
        for (const [address] of take(some)) fill.pushAddress(address)
        completions.consume(some)
      }
      expect(got).toEqual(expected)
      number += count + 1
    }
  },
)

test('any mix of sessions and plain entries, a thousand laps', () => {
  const random = new Random(3)
  const { device, fill, completions, take } = open(64, 32)
  let [written, read] = [0, 0]
  const lengthOf = (number: number) => 60 + ((number * 31) % 9000)
  while (read < 64_000) {
    while (64 - (written - read) > 0 && random.chance(3 / 4)) {
      const room = 64 - (written - read)
      const count = random.chance(1 / 3) ? 1 : random.integer(1, room)
      const lengths = Array.from({ length: count }, (_, i) => lengthOf(written + i))
      if (count === 1 && random.chance(1 / 2)) device.frame(lengths[0], true)
      else device.session(lengths, true)
      written += count
    }
    const ready = completions.available()
    expect(ready).toBeGreaterThanOrEqual(Math.min(32, written - read))
    expect(ready).toBeLessThanOrEqual(written - read)
    const some = random.integer(0, ready)
    for (const [i, [address, length, flags]] of take(some).entries()) {
      if (address !== ((read + i) % 64) * 2048 || length !== lengthOf(read + i) || flags !== 4) {
        expect({ number: read + i, address, length, flags }).toBe('otherwise')
      }
      fill.pushAddress(address)
    }
    completions.consume(some)
    read += some
    // The device's copy of the index, as it lies in memory: 24 bits, big-endian.
    expect(device.entries.record[0]).toBe(new DataView(Uint32Array.of(read & 0xffffff).buffer).getInt32(0))
  }
})

test('a session of no completions, or of more than the ring has: a failure', () => {
  for (const count of [0, 65]) {
    const { device, completions } = open(64, 32)
    device.session(new Array(count).fill(60), true)
    expect(() => completions.available()).toThrow('a failure')
  }
})
