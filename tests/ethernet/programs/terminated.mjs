// Terminates workers that receive. Usage: terminated.mjs INTERFACE_A INTERFACE_B BACKEND

import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { PacketQueue } from 'ibverbs/ethernet'
import { census } from './census.mjs'

const [a, b, backend] = process.argv.slice(2)
const sender = PacketQueue.open(a, { backend, transmitOnly: true })
const frames = new SharedArrayBuffer(4)
let sending = true

function send() {
  if (!sending) return
  for (let slot = sender.claim(), i = 0; slot >= 0 && i < 32; slot = sender.claim(), i++)
    sender.send(slot, 60)
  sender.submit()
  setImmediate(send)
}

async function cycle() {
  const worker = new Worker(new URL('receiver.mjs', import.meta.url), {
    workerData: { name: b, frames, backend },
  })
  await once(worker, 'message')
  await worker.terminate()
}

send()
for (let i = 0; i < 3; i++) await cycle()
const before = await census()
for (let i = 0; i < 15; i++) await cycle()
const after = await census(before)
sending = false
console.log(JSON.stringify({ before, after, frames: new Int32Array(frames)[0] }))
