// Sends to itself by hand, one message after another; after 100 it ends in the way that its first word, or its workerData,
// says. Without one it goes on.
import { parentPort, Worker, workerData } from 'node:worker_threads'
import { open } from 'ibverbs'
import { createCompletionQueue, createQueuePair, direct, layout } from 'ibverbs/mlx5'
import { softConnectX } from 'ibverbs/soft'

// A worker has its parent's devices.
const way = workerData?.way ?? process.argv[2]
const soft = workerData ? undefined : softConnectX({ wire: 'loop' })

if (way === 'terminate') {
  const device = soft.devices()[0].name
  const worker = new Worker(new URL(import.meta.url), { workerData: { way: 'message', device } })
  await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
  await worker.terminate()
  soft.close()
} else {
  await traffic()
}

async function traffic() {
  const context = open(workerData?.device ?? soft.devices()[0].name)
  const domain = context.allocateProtectionDomain()
  const cq = createCompletionQueue(domain, 256)
  const pair = createQueuePair(domain, { type: 'UC', cq, maxInline: 28 })
  pair.connect(pair.endpoint)
  const rings = direct(pair)
  const queue = direct(cq)
  const { view, count } = rings.send

  const ends = {
    exit: () => process.exit(0),
    context: () => {
      context.close()
      soft.close()
      process.exit(0)
    },
    queues: () => {
      pair.close()
      cq.close()
      globalThis.gc()
      process.exit(0)
    },
    exception: () => {
      throw new Error('on purpose')
    },
    kill: () => process.stdout.write('in traffic\n'),
    message: () => parentPort.postMessage('in traffic'),
  }

  for (let i = 0; ; i++) {
    const at = (i % count) * layout.basicBlock
    view.setUint32(at, ((i & 0xffff) << 8) | layout.SendOpcode.SEND)
    view.setUint32(at + 4, (pair.number << 8) | 2)
    view.setUint32(at + 8, layout.CompletionMode.ALWAYS << 2)
    view.setUint32(at + 16, layout.inlineSegment + 8)
    rings.ringSend((i + 1) & 0xffff, i & 0xffff)
    if (i === 100) ends[way]?.()
    const entry = (i % queue.count) * queue.stride
    const lap = (i / queue.count) & 1
    while (
      (queue.bytes[entry + 63] & 1) !== lap ||
      queue.bytes[entry + 63] >> 4 === layout.CqeOpcode.INVALID
    ) {
      await new Promise((resolve) => setImmediate(resolve))
    }
    queue.setConsumerIndex((i + 1) & 0xffffff)
  }
}
