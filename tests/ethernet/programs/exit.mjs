// Exits in traffic, while a worker and the main thread wait. Usage: exit.mjs INTERFACE_A INTERFACE_B exit|throw BACKEND

import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { PacketQueue } from 'ibverbs/ethernet'

const [a, b, how, backend] = process.argv.slice(2)
const sender = PacketQueue.open(a, { backend })
const frames = new SharedArrayBuffer(4)
const worker = new Worker(new URL('receiver.mjs', import.meta.url), {
  workerData: { name: b, frames, backend },
})
sender.wait().catch(() => {})
function send() {
  const slot = sender.claim()
  if (slot >= 0) sender.send(slot, 60)
  sender.submit()
  setImmediate(send)
}
send()
await once(worker, 'message')
console.log('going')
if (how === 'exit') process.exit(7)
throw new Error('on purpose')
