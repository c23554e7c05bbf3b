// A worker that receives for ever, and counts frames in shared memory.

import { parentPort, workerData } from 'node:worker_threads'
import { PacketQueue } from 'ibverbs/ethernet'

const queue = PacketQueue.open(workerData.name, { backend: workerData.backend, promiscuous: true })
const frames = new Int32Array(workerData.frames)
let batches = 0
for await (const n of queue.batches()) {
  Atomics.add(frames, 0, n)
  if (batches++ === 0) parentPort.postMessage('receiving')
  for (let i = 0; i < n; i++) queue.release(queue.slot(i))
}
