// Forwards frames, says when it is warm and when it is done, and how many bytes the heap grew by in between, in the median
// of ten stretches.
//   forward.mjs none COUNT [garbage]                     between two queues without a kernel
//   forward.mjs BACKEND COUNT SEND IN OUT [garbage]      frames that it sends itself come in by IN and go out by OUT
// `garbage` makes an object for each frame: the test must see its collection.
import { getHeapStatistics } from 'node:v8'
import { FramePool, PacketQueue } from 'ibverbs/ethernet'
import { queueOver } from '../../../dist/ethernet/packet-queue.js'
import { MemoryPort } from './memory-port.mjs'

const [backend, count, ...names] = process.argv.slice(2)
const wasteful = names.at(-1) === 'garbage'
const batch = 64
const size = 64
const frames = new FramePool({ frameCount: 4096, frameSize: 2048 })
const memory = frames.arena.bytes
let kept

/** Brings frames to the incoming queue, at most a batch. */
let bring
let incoming
let outgoing

if (backend === 'none') {
  const port = new MemoryPort(4096, size)
  incoming = queueOver(frames, batch, port, 2048)
  outgoing = queueOver(frames, batch, new MemoryPort(4096, size), 0)
  bring = () => port.deliver(batch)
} else {
  const sender = PacketQueue.open(names[0], { backend, batch, transmitOnly: true })
  incoming = PacketQueue.open(names[1], { backend, batch, frames })
  outgoing = PacketQueue.open(names[2], { backend, batch, frames, transmitOnly: true })
  const frame = new Uint8Array(size).fill(0x5a)
  frame.set(incoming.interface.macBytes, 0)
  frame.set(sender.interface.macBytes, 6)
  frame.set([0x88, 0xb5], 12)
  const slots = []
  for (let slot = sender.claim(); slot >= 0; slot = sender.claim()) {
    sender.memory.set(frame, sender.offset(slot))
    slots.push(slot)
  }
  for (const slot of slots) sender.release(slot)
  bring = () => {
    for (let i = 0; i < batch; i++) {
      const slot = sender.claim()
      if (slot < 0) break
      sender.send(slot, size)
    }
    sender.submit()
  }
}

function forwardBatch(n) {
  for (let i = 0; i < n; i++) {
    const slot = incoming.slot(i)
    memory[incoming.offset(slot) + size - 1] ^= 1
    if (wasteful) kept = { slot, offset: incoming.offset(slot) }
    outgoing.forward(slot)
  }
  outgoing.submit()
}

function forward(total) {
  let done = 0
  let empty = 0
  while (done < total) {
    bring()
    const n = incoming.receive()
    forwardBatch(n)
    done += n
    empty = n === 0 ? empty + 1 : 0
    if (empty === 1e6) throw new Error(`no frame comes: ${done} of ${total} were forwarded`)
  }
  return done
}

const total = Number(count)
const heap = () => getHeapStatistics().used_heap_size

// Until V8 has compiled the code, also in the background: the compiler allocates on the heap. Growth that goes on after
// that is the leak that this program looks for.
const warming = Math.min(total, backend === 'none' ? 1_000_000 : 100_000)
for (let i = 0, quiet = 0; i < 10 && quiet < 2; i++) {
  const before = heap()
  forward(warming)
  quiet = heap() - before < 4096 ? quiet + 1 : 0
  await new Promise((resolve) => setImmediate(resolve))
}
// The collection below must not count garbage from loading and compiling.
globalThis.gc()
forward(1000)

console.log('warm')
// V8 also allocates on the heap for its own work, in some stretches only: garbage of frames is in every stretch.
const growths = new Float64Array(10)
let done = 0
for (let i = 0; i < growths.length; i++) {
  const before = heap()
  done += forward(total / growths.length)
  growths[i] = heap() - before
}
const stretch = growths.sort()[growths.length >> 1]
console.log(`done ${done} ${Math.round(done / growths.length)} ${stretch}`)

const statistics = outgoing.statistics()
if (kept === 0 || statistics.invalid > 0 || incoming.statistics().invalid > 0 || statistics.refused > 0) {
  throw new Error(`frames were lost: ${JSON.stringify(statistics)}`)
}
process.exit(0)
