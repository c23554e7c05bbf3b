// Our side of soft/raw, a process of its own with IBVERBS_SOFT=loop: bench/peers/soft_raw.c in TypeScript, line for line.
//
//   raw-worker.js '{"size":64,"batch":32,"window":512}'
//   loop 20000 1000  →  [frames a second]   sent and received, over 20000 after 1000 untimed
import { performance } from 'node:perf_hooks'
import { createInterface } from 'node:readline'
import { type PacketBackend, PacketQueue } from 'ibverbs/ethernet'

interface Parameters {
  size: number
  batch: number
  window: number
  /** By default the one that the queue takes by itself. */
  backend?: PacketBackend
}
const { size, batch, window, backend }: Parameters = JSON.parse(process.argv[2])
const etherType = 0x88b5
const sequenceAt = 14

const queue = PacketQueue.open('mlx5_soft0', { backend, batch, frameCount: 4096, promiscuous: true })
const { memory } = queue
const view = new DataView(memory.buffer, memory.byteOffset, memory.byteLength)
let sequence = 0
let expected = 0

/** Writes every frame once, except for its sequence number. */
function writeFrames(): void {
  const frame = new Uint8Array(size).fill(0x5a)
  frame.fill(0xff, 0, 6)
  frame.fill(0, 6, 12)
  frame.set([etherType >> 8, etherType & 0xff], 12)
  // Received frames have the same content.
  for (let at = 0; at < memory.length; at += queue.frames.frameSize) memory.set(frame, at)
}

function sendBatch(): void {
  for (let i = 0; i < batch; i++) {
    const slot = queue.claim()
    if (slot < 0) throw new Error('no frame to claim')
    view.setUint32(queue.offset(slot) + sequenceAt, sequence, true)
    sequence = (sequence + 1) >>> 0
    queue.send(slot, size)
  }
  if (queue.submit() !== batch) throw queue.error ?? new Error('the send queue is full')
}

function receiveBatch(): number {
  const count = queue.receive()
  for (let i = 0; i < count; i++) {
    const slot = queue.slot(i)
    const at = queue.offset(slot)
    const found = view.getUint32(at + sequenceAt, true)
    if (queue.length(slot) !== size || memory[at + 12] !== etherType >> 8 || found !== expected) {
      throw new Error(`frame ${found} where ${expected} should be`)
    }
    expected = (expected + 1) >>> 0
    queue.release(slot)
  }
  return count
}

function transfer(total: number): void {
  const since = performance.now()
  let looks = 0
  for (let sent = 0, received = 0; received < total; ) {
    if (sent < total && sent - received + batch <= window) {
      sendBatch()
      sent += batch
    }
    const count = receiveBatch()
    received += count
    if (count > 0 || (++looks & 4095) !== 0) continue
    if (performance.now() - since > 10_000) throw new Error('no frame came')
  }
}

writeFrames()
console.log('ready')
for await (const line of createInterface({ input: process.stdin })) {
  const [, count, warmup] = line.split(' ').map(Number)
  transfer(warmup)
  const begin = performance.now()
  transfer(count)
  console.log(JSON.stringify([(count * 1000) / (performance.now() - begin)]))
}
queue.close()
