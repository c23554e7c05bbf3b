// A member of a fanout group, in a process or a worker: fanout.mjs IFACE GROUP MODE. Prints "ready", and for each line
// of standard input, or message, the frames that came since: a JSON array of frames in hex.
import { createInterface } from 'node:readline'
import { parentPort, workerData } from 'node:worker_threads'
import { PacketQueue } from 'ibverbs/ethernet'

const [name, group, mode] = workerData ?? process.argv.slice(2)
const queue = PacketQueue.open(name, { fanout: { group: Number(group), mode }, frameCount: 4096 })
const say = (text) => (parentPort ? parentPort.postMessage(text) : process.stdout.write(`${text}\n`))

function came() {
  const frames = []
  for (let n = queue.receive(); n > 0; n = queue.receive()) {
    for (let i = 0; i < n; i++) {
      const slot = queue.slot(i)
      const at = queue.offset(slot)
      frames.push(Buffer.from(queue.memory.slice(at, at + queue.length(slot))).toString('hex'))
      queue.release(slot)
    }
  }
  return frames
}

const ask = () => say(JSON.stringify(came()))
if (parentPort) parentPort.on('message', ask)
else createInterface({ input: process.stdin }).on('line', ask)
say('ready')
