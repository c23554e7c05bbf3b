// Sends one raw Ethernet frame out of the first interface and receives it on the second: two ends of one wire.
//   node raw-frame.mjs IFACE_A IFACE_B     (CAP_NET_RAW: as root, or in a namespace of your own, unshare -Urn)
import { formatMac, PacketQueue } from 'ibverbs/ethernet'

const [from, to] = process.argv.slice(2)
const etherType = 0x88b5 // for experiments (IEEE 802, local experimental EtherType 1)
const a = PacketQueue.open(from, { transmitOnly: true })
const b = PacketQueue.open(to, { etherType })

// Claim a frame, write it into the queue's memory, send.
const slot = a.claim()
const frame = a.memory.subarray(a.offset(slot))
frame.set(b.interface.macBytes, 0)
frame.set(a.interface.macBytes, 6)
frame.set([etherType >> 8, etherType & 0xff], 12)
const { written } = new TextEncoder().encodeInto('hello from JavaScript', frame.subarray(14))
a.send(slot, 14 + written)
a.submit()
if (a.error) throw a.error

// Sleep on the event loop until a frame arrives, and read it from the queue's memory.
await b.wait({ signal: AbortSignal.timeout(5000) })
for (let i = 0, n = b.receive(); i < n; i++) {
  const slot = b.slot(i)
  const at = b.offset(slot)
  const source = formatMac(b.memory, at + 6)
  const text = Buffer.from(b.memory.slice(at + 14, at + b.length(slot))).toString()
  console.log(`${b.length(slot)} bytes from ${source} on ${b.interface.name}: ${text}`)
  b.release(slot)
}

a.close()
b.close()
