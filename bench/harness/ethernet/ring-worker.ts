// JavaScript's own part of moving frames, on rings in plain memory; bench/peers/ring_cost.c in TypeScript.
//
//   ring-worker.js '{"batch":32}'
//   tx COUNT WARMUP     →  [ns a frame]    claim, send, submit
//   rx COUNT WARMUP     →  [ns a frame]    receive, release, and back into the fill ring
//   look COUNT WARMUP   →  [ns a frame]    the same, reading offset and length too
//   poll COUNT WARMUP   →  [ns]            an empty poll
import { performance } from 'node:perf_hooks'
import { createInterface } from 'node:readline'
import { FramePool, type PacketQueue } from 'ibverbs/ethernet'
import { queueOver } from './internals.js'
import { MockPort } from './mock-port.js'

const { batch }: { batch: number } = JSON.parse(process.argv[2])
const frameCount = 2048
const size = 64

function open(receiveFrames: number): { queue: PacketQueue; port: MockPort } {
  const port = new MockPort(frameCount, size)
  return {
    queue: queueOver(new FramePool({ frameCount, frameSize: 2048 }), batch, port, receiveFrames),
    port,
  }
}

const out = open(0)
const { queue: incoming, port } = open(frameCount)
let seen = 0

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
  const invalid = out.queue.statistics().invalid + incoming.statistics().invalid
  const { transmitted } = out.queue.statistics()
  if (invalid > 0 || (command === 'tx' && transmitted % batch !== 0)) {
    throw new Error(`${invalid} records named no frame, ${transmitted} frames were sent`)
  }
  console.log(JSON.stringify([((end - begin) * 1e6) / Number(count)]))
}
