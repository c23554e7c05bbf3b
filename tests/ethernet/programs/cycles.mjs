// Opens, uses and closes 200 queues, 5000 with IBVERBS_LONG set. Usage: cycles.mjs INTERFACE_A INTERFACE_B BACKEND

import { PacketQueue } from 'ibverbs/ethernet'
import { census, mappings } from './census.mjs'

const [a, b, backend] = process.argv.slice(2)

async function cycle(i) {
  const sender = PacketQueue.open(a, { backend })
  const receiver = PacketQueue.open(b, { backend, promiscuous: true, multicast: ['01:00:5e:00:00:01'] })
  const waiting = receiver.wait()
  const slot = sender.claim()
  sender.send(slot, 60)
  sender.submit()
  await waiting
  if (receiver.receive() !== 1) throw new Error('the frame did not come')
  // Every other queue is closed during a wait.
  const last = i % 2 ? receiver.wait().catch((error) => error.code) : undefined
  sender.close()
  receiver.close()
  if (last && (await last) !== 'ERR_IBVERBS_CLOSED') throw new Error('the wait was not ended')
}

for (let i = 0; i < 20; i++) await cycle(i)
const before = await census()
const mapped = mappings()
const cycles = process.env.IBVERBS_LONG ? 5000 : 200
for (let i = 0; i < cycles; i++) {
  await cycle(i)
  // Without a collection V8 keeps so many small objects of the arenas that the heap grows, once.
  if (i % 10 === 9) globalThis.gc?.()
}
const after = await census(before)
const grown = mappings()
// A pair of arenas is 16 MiB. V8's own heap varies by much less than one mapping or a MiB in each cycle.
before.mappings = after.mappings = 'steady'
if (grown.count > mapped.count + cycles / 2 || grown.mebibytes > mapped.mebibytes + 4 * cycles) {
  after.mappings = `${mapped.count} (${mapped.mebibytes} MiB), then ${grown.count} (${grown.mebibytes} MiB)`
}
console.log(JSON.stringify({ before, after }))
