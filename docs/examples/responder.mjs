// Answers ARP and ping for an address of its own, from raw frames: this machine's kernel does not know the address.
//   node responder.mjs IFACE 10.0.0.2 [af_xdp]     (CAP_NET_RAW: as root, or in a namespace of your own, unshare -Urn)
// Choose a free address in the network of the other end: then `ping 10.0.0.2` works there.
import { arp, ethernet, icmp, ipv4, PacketQueue } from 'ibverbs/ethernet'

const [name, text, backend] = process.argv.slice(2)
const address = ipv4.parse(text)
const stop = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => stop.abort())

// Receives frames for this address only: ARP requests by broadcast, and pings.
const queue = PacketQueue.open(name, {
  backend,
  flows: [{ etherType: 0x0806 }, { protocol: 'icmp', destination: text }],
})
const { mac, macBytes } = queue.interface
const { memory } = queue
let [answered, pinged] = [0, 0]

// Turns a request into its reply, in place. False for any other frame.
function answer(at, end) {
  const type = ethernet.etherType(memory, at)
  const next = at + ethernet.headerLength
  if (type === 0x0806) return answerArp(at, next, end)
  return type === 0x0800 && answerPing(at, next, end)
}

function answerArp(at, packet, end) {
  if (!arp.isValid(memory, packet, end)) return false
  if (arp.operation(memory, packet) !== arp.Operation.request || arp.targetIp(memory, packet) !== address)
    return false
  const asker = memory.slice(packet + arp.senderMacOffset, packet + arp.senderMacOffset + 6)
  const askerIp = arp.senderIp(memory, packet)
  ethernet.write(memory, at, asker, macBytes, 0x0806)
  arp.write(memory, packet, arp.Operation.reply, macBytes, address, asker, askerIp)
  answered++
  return true
}

function answerPing(at, packet, end) {
  if (!ipv4.isValid(memory, packet, end) || ipv4.isFragment(memory, packet)) return false
  if (ipv4.destination(memory, packet) !== address || ipv4.protocol(memory, packet) !== 1) return false
  const message = ipv4.payload(memory, packet)
  if (!icmp.isValid(memory, message, end) || !icmp.toEchoReply(memory, message)) return false
  ethernet.swapAddresses(memory, at)
  // The addresses are swapped: their sum, and so the checksum, stays the same.
  ipv4.setDestination(memory, packet, ipv4.source(memory, packet))
  ipv4.setSource(memory, packet, address)
  pinged++
  return true
}

console.log(`${text} is at ${mac} on ${name}; Ctrl-C ends`)
try {
  for await (const n of queue.batches({ signal: stop.signal })) {
    for (let i = 0; i < n; i++) {
      const slot = queue.slot(i)
      const at = queue.offset(slot)
      // The reply goes out from the memory that the request arrived in.
      if (answer(at, at + queue.length(slot))) queue.forward(slot)
      else queue.release(slot)
    }
    queue.submit()
  }
} catch (error) {
  if (!stop.signal.aborted) throw error
} finally {
  queue.close()
}
console.log(`answered ${answered} ARP requests and ${pinged} pings`)
