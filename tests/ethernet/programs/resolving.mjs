// Terminates workers that wait for a silent neighbour. Usage: resolving.mjs ADDRESS
import { once } from 'node:events'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { resolve } from 'ibverbs/ethernet'
import { census } from './census.mjs'

async function cycle() {
  const worker = new Worker(new URL(import.meta.url), { workerData: process.argv[2] })
  await once(worker, 'message')
  await worker.terminate()
}

if (isMainThread) {
  for (let i = 0; i < 3; i++) await cycle()
  const before = await census()
  for (let i = 0; i < 10; i++) await cycle()
  console.log(JSON.stringify({ before, after: await census(before) }))
} else {
  const waiting = resolve(workerData, { timeout: 60_000 })
  parentPort.postMessage('waiting')
  await waiting
}
