// One end of a ring between two threads: numbered records, each written before its index and read after it.
import { parentPort, workerData } from 'node:worker_threads'

const { role, memory, messages, plain } = workerData
const words = new Uint32Array(memory)
const producer = 0
const consumer = 16
const records = 32
const capacity = 1024
const mask = capacity - 1

const load = (at) => (plain ? words[at] : Atomics.load(words, at)) | 0
const store = (at, value) => {
  if (plain) words[at] = value
  else Atomics.store(words, at, value)
}

/** Sleeps a moment when the other end has not come: with one processor for both it could not. */
const asleep = new Int32Array(new SharedArrayBuffer(4))
let empty = 0
function idle() {
  if (++empty % 1000 === 0) Atomics.wait(asleep, 0, 0, 0.05)
}

const ends = {
  produce() {
    for (let next = 0; next < messages; ) {
      const room = capacity - ((next - load(consumer)) | 0)
      if (room === 0) idle()
      for (let i = 0; i < room && next < messages; i++, next++) {
        const at = records + (next & mask) * 4
        words[at] = next
        words[at + 2] = ~next
        store(producer, next + 1)
      }
    }
    return 0
  },
  consume() {
    let wrong = 0
    for (let next = 0; next < messages; ) {
      const there = (load(producer) - next) | 0
      if (there === 0) idle()
      for (let i = 0; i < there; i++, next++) {
        const at = records + (next & mask) * 4
        if (words[at] !== next >>> 0 || words[at + 2] !== ~next >>> 0) wrong++
        store(consumer, next + 1)
      }
    }
    return wrong
  },
}

parentPort.postMessage({ role, messages, wrong: ends[role]() })
