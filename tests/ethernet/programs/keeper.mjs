// A worker that holds frames in every possible state, and is terminated.
import { parentPort, workerData } from 'node:worker_threads'
import { FramePool, PacketQueue } from 'ibverbs/ethernet'

const { name, shared } = workerData
const frames = FramePool.join(shared)
const queue = PacketQueue.open(name, { backend: 'af_xdp', frames, receiveFrames: 64, batch: 8 })
const kept = [queue.claim(), queue.claim()]
queue.send(queue.claim(), 60)
frames.give(kept[1])
parentPort.postMessage({ member: frames.member, kept })
setInterval(() => {}, 1000)
