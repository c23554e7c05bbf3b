// A worker thread for each receive queue of an interface, all on the same frames: each sends back the frames it receives,
// and hands those that begin with "!" to the main thread, without a copy.
//   node workers.mjs IFACE     (AF_XDP: as root; ends on SIGINT)
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { FramePool, PacketQueue, queryChannels } from 'ibverbs/ethernet'

const etherType = 0x88b5 // for experiments (IEEE 802, local experimental EtherType 1)

if (isMainThread) {
  const name = process.argv[2]
  const frames = new FramePool({ frameCount: 4096 })
  const shared = frames.share()
  const { receive, combined } = queryChannels(name)
  const workers = Array.from(
    { length: receive + combined },
    (_, queueId) => new Worker(new URL(import.meta.url), { workerData: { name, queueId, shared } }),
  )
  let ready = 0
  for (const [queueId, worker] of workers.entries()) {
    worker.on('message', (message) => {
      if (message === 'ready') {
        if (++ready === workers.length) console.log(`${ready} workers`)
        return
      }
      frames.take(message) // the worker gave it away: now it belongs to this thread
      const at = frames.offset(message)
      const text = Buffer.from(frames.arena.bytes.slice(at + 14, at + frames.length(message))).toString()
      console.log(`queue ${queueId}: ${text}`)
      frames.release(message)
    })
  }
  process.once('SIGINT', () => {
    for (const worker of workers) worker.postMessage('end')
  })
} else {
  const { name, queueId, shared } = workerData
  const frames = FramePool.join(shared)
  const queue = PacketQueue.open(name, { backend: 'af_xdp', queueId, frames, receiveFrames: 512, etherType })
  parentPort.once('message', () => queue.close())
  parentPort.postMessage('ready')
  for await (const n of queue.batches()) {
    for (let i = 0; i < n; i++) {
      const slot = queue.slot(i)
      const at = queue.offset(slot)
      if (queue.memory[at + 14] === 0x21) {
        frames.give(slot) // belongs to no thread until one takes it
        parentPort.postMessage(slot)
      } else {
        queue.memory.copyWithin(at, at + 6, at + 12)
        queue.memory.set(queue.interface.macBytes, at + 6)
        queue.forward(slot)
      }
    }
    queue.submit()
  }
}
