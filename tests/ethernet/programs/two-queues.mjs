// Opens a queue on each of two interfaces, 2 MiB of frames for both or for each. Usage: two-queues.mjs A B one|two
import { FramePool, PacketQueue } from 'ibverbs/ethernet'

const [a, b, arenas] = process.argv.slice(2)
const pool = () => new FramePool({ frameCount: 1024 })
const frames = pool()
const options = { backend: 'af_xdp', receiveFrames: 64 }
const first = PacketQueue.open(a, { ...options, frames })
try {
  const second = PacketQueue.open(b, { ...options, frames: arenas === 'one' ? frames : pool() })
  console.log(`opened, ${second.report.sharedMemory ? 'shared' : 'not shared'}`)
  second.close()
} catch (error) {
  console.log(error.code, error.message)
}
first.close()
