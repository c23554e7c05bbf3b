// JavaScript's own part of moving frames, on rings in plain memory; bench/peers/ring_cost.c in TypeScript.
//
//   ring-worker.js '{"batch":32}'        with "queues":4, one function serves four queues in turn, after a fifth was closed;
//                                        with "card":"multi-packet" or "single", on a ConnectX's rings
//   tx COUNT WARMUP     →  [ns a frame]    claim, send, submit
//   rx COUNT WARMUP     →  [ns a frame]    receive, release, and back into the fill ring
//   look COUNT WARMUP   →  [ns a frame]    the same, reading offset and length too
//   poll COUNT WARMUP   →  [ns]            an empty poll
//   tx-each, rx-each    →  [ns a frame]    over all queues, with the calls for each frame
//   tx-many, rx-many    →  [ns a frame]    over all queues, with the calls for many frames
import { performance } from 'node:perf_hooks'
import { createInterface } from 'node:readline'
import { FramePool, type PacketQueue } from 'ibverbs/ethernet'
import { queueOver } from './internals.js'
import { MockCard } from './mock-card.js'
import { MockPort } from './mock-port.js'

interface Parameters {
  batch: number
  queues?: number
  card?: 'multi-packet' | 'single'
}
const { batch, queues = 1, card }: Parameters = JSON.parse(process.argv[2])
const frameCount = 2048
const size = 64

function open(receiveFrames: number): { queue: PacketQueue; port: MockPort | MockCard } {
  const frames = new FramePool({ frameCount, frameSize: 2048 })
  const port =
    card === undefined
      ? new MockPort(frameCount, size)
      : new MockCard(frameCount, size, batch, frames.arena.bytes, card === 'multi-packet')
  return { queue: queueOver(frames, batch, port, receiveFrames), port }
}

const out = open(0)
const { queue: incoming, port } = open(frameCount)
let seen = 0

open(0).queue.close()
const outs = Array.from({ length: queues }, () => open(0).queue)
const ins = Array.from({ length: queues }, () => open(frameCount))
const slots = new Int32Array(batch)
const offsets = new Uint32Array(batch)
const lengths = new Uint32Array(batch).fill(size)

const commands: Record<string, (total: number) => void> = {
  tx(total) {
    const { queue } = out
    for (let sent = 0; sent < total; sent += batch) {
      for (let i = 0; i < batch; i++) queue.send(queue.claim(), size)
      queue.submit()
    }
  },
  rx(total) {
    for (let received = 0; received < total; received += batch) {
      port.deliver(batch)
      const count = incoming.receive()
      for (let i = 0; i < count; i++) incoming.release(incoming.slot(i))
    }
  },
  look(total) {
    for (let received = 0; received < total; received += batch) {
      port.deliver(batch)
      const count = incoming.receive()
      for (let i = 0; i < count; i++) {
        const slot = incoming.slot(i)
        seen = (seen + incoming.offset(slot) + incoming.length(slot)) | 0
        incoming.release(slot)
      }
    }
  },
  'tx-each'(total) {
    for (let sent = 0, turn = 0; sent < total; sent += batch) {
      const queue = outs[turn++ % queues]
      for (let i = 0; i < batch; i++) queue.send(queue.claim(), size)
      queue.submit()
    }
  },
  'tx-many'(total) {
    for (let sent = 0, turn = 0; sent < total; sent += batch) {
      const queue = outs[turn++ % queues]
      queue.sendMany(slots, lengths, queue.claimMany(slots, offsets, batch))
      queue.submit()
    }
  },
  'rx-each'(total) {
    for (let received = 0, turn = 0; received < total; received += batch) {
      const { queue, port } = ins[turn++ % queues]
      port.deliver(batch)
      const count = queue.receive()
      for (let i = 0; i < count; i++) {
        const slot = queue.slot(i)
        seen = (seen + queue.offset(slot) + queue.length(slot)) | 0
        queue.release(slot)
      }
    }
  },
  'rx-many'(total) {
    for (let received = 0, turn = 0; received < total; received += batch) {
      const { queue, port } = ins[turn++ % queues]
      port.deliver(batch)
      const count = queue.receive()
      const { offsets, lengths, slots } = queue.columns
      for (let i = 0; i < count; i++) seen = (seen + offsets[i] + lengths[i]) | 0
      queue.releaseMany(slots, count)
    }
  },
  poll(total) {
    for (let i = 0; i < total; i++) seen = (seen + incoming.receive()) | 0
  },
}

console.log('ready')
for await (const line of createInterface({ input: process.stdin })) {
  const [command, count, warmup] = line.split(' ')
  commands[command](Number(warmup))
  const begin = performance.now()
  commands[command](Number(count))
  const end = performance.now()
  const all = [out.queue, incoming, ...outs, ...ins.map(({ queue }) => queue)]
  const invalid = all.reduce((sum, queue) => sum + queue.statistics().invalid, 0)
  const { transmitted } = out.queue.statistics()
  if (invalid > 0 || (command === 'tx' && transmitted % batch !== 0)) {
    throw new Error(`${invalid} records named no frame, ${transmitted} frames were sent`)
  }
  console.log(JSON.stringify([((end - begin) * 1e6) / Number(count)]))
}
