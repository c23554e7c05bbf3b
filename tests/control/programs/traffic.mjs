// Two packet queues on software ConnectX that send frames to each other, three at a time, and can be asked. At SIGUSR2, and
// not before a hundred times, they stop, and it prints what its rings and counts are.
import { PacketQueue } from 'ibverbs/ethernet'

const backend = 'mlx5'
const [a, b] = ['mlx5_soft0/1', 'mlx5_soft1/1'].map((name) => PacketQueue.open(name, { backend }))
let stop = false
process.once('SIGUSR2', () => {
  stop = true
})

const hex = (words, from, length) =>
  Buffer.from(words.buffer, words.byteOffset + from * 4, length).toString('hex')
const told = (queue) => {
  const { rings, ringLayouts: places, statistics } = queue
  const { transmit, receive, completion, fill } = places
  const ring = (name, place, stride) => ({
    records: hex(rings[name], place.records, place.capacity * stride),
    producer: hex(rings[name], place.producer, 4),
  })
  return {
    statistics: statistics.call(queue),
    transmit: ring('transmit', transmit, 64),
    fill: ring('fill', fill, 32),
    receive: ring('receive', receive, 64),
    completion: ring('completion', completion, 64),
  }
}

process.stdout.write('in traffic\n')
for (let batches = 0; !stop || batches < 100; batches++) {
  for (let i = 0; i < 3; i++) {
    const slot = a.claim()
    const at = a.offset(slot)
    a.memory.set(b.interface.macBytes, at)
    a.memory.set(a.interface.macBytes, at + 6)
    a.memory.set([0x88, 0xb5], at + 12)
    a.memory.fill(i, at + 14, at + 60 + i)
    a.send(slot, 60 + i)
  }
  a.submit()
  let come = 0
  while (come < 3) {
    await b.wait()
    const count = b.receive()
    for (let i = 0; i < count; i++) b.release(b.slot(i))
    come += count
  }
  await new Promise((resolve) => setImmediate(resolve))
}
await a.drain()
// The completions of the last batch are taken.
a.submit()
process.stdout.write(`${JSON.stringify({ a: told(a), b: told(b) })}\n`)
setInterval(() => {}, 1000)
