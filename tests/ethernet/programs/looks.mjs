// Looks 100 000 times at an empty queue, and counts this thread's system calls during that. Usage: looks.mjs INTERFACE
import { PacketQueue } from 'ibverbs/ethernet'
import { native } from '../../../dist/native.js'

const { xdp } = native.ethernet
let systemCalls = 0
// The binding makes a queue's system calls only in these functions.
const { receive, transmitBell } = xdp
xdp.receive = (handle) => {
  systemCalls++
  return receive(handle)
}
xdp.transmitBell = (handle, mailbox) => {
  const ring = transmitBell(handle, mailbox)
  return () => {
    systemCalls++
    ring()
  }
}
const queue = PacketQueue.open(process.argv[2], { backend: 'af_xdp' })
let looks = 0
for (; looks < 100_000; looks++) if (queue.receive() !== 0) throw new Error('a frame came')
console.log(JSON.stringify({ looks, systemCalls }))
queue.close()
