// Terminates workers whose native calls fail all the time: an error that can no longer be thrown must not abort.
import { once } from 'node:events'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { native } from '../../../dist/native.js'

const calls = [
  () => native.ethernet.disarm(0), // a closed handle
  () => native.ethernet.xdp.receive(0), // the same, of a hot call (binding/hot_call.h)
  () => native.ethernet.arm('x'), // a wrong type
  () => native.ethernet.open({ interfaceIndex: -1 }), // an option out of range
]

if (isMainThread) {
  for (let i = 0; i < 30; i++) {
    const worker = new Worker(new URL(import.meta.url), { workerData: i % calls.length })
    await once(worker, 'message')
    await worker.terminate()
  }
  console.log('alive')
} else {
  parentPort.postMessage('going')
  for (;;) {
    try {
      calls[workerData]()
    } catch {
      // as expected
    }
  }
}
