// Two packet queues on the library's mlx5 driver that send frames to each other, in random batches; after 100 they end in the
// way that the first word, or workerData, says.
import { parentPort, Worker, workerData } from 'node:worker_threads'
import { PacketQueue } from 'ibverbs/ethernet'
import { softConnectX } from 'ibverbs/soft'

const way = workerData?.way ?? process.argv[2]
// A worker has its parent's devices.
const soft = workerData ? undefined : softConnectX({ wire: 'pair' })

const ends = {
  exit: () => process.exit(0),
  exception: () => {
    throw new Error('on purpose')
  },
  kill: () => process.stdout.write('in traffic\n'),
  message: () => parentPort.postMessage('in traffic'),
}

async function traffic() {
  const [a, b] = ['mlx5_soft0', 'mlx5_soft1'].map((name) => PacketQueue.open(name, { backend: 'mlx5' }))
  for (let batch = 0; ; batch++) {
    const count = 1 + Math.floor(Math.random() * 64)
    for (let i = 0; i < count; i++) {
      const slot = a.claim()
      if (slot < 0) break
      const at = a.offset(slot)
      a.memory.set(b.interface.macBytes, at)
      a.memory.set(a.interface.macBytes, at + 6)
      a.memory.set([0x88, 0xb5], at + 12)
      a.send(slot, 60 + Math.floor(Math.random() * 1400))
    }
    a.submit()
    if (batch === 100) ends[way]()
    const come = b.receive()
    for (let i = 0; i < come; i++) b.release(b.slot(i))
    if (batch % 10 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
}

if (way === 'terminate') {
  const worker = new Worker(new URL(import.meta.url), { workerData: { way: 'message' } })
  await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
  await worker.terminate()
  soft.close()
} else {
  await traffic()
}
