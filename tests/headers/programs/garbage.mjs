// Forwards a million frames through NAT, tags and tunnels and back, and prints the number of garbage collections. With a
// young generation of one MiB a single number allocated for each frame would cause a dozen.

import { GCProfiler } from 'node:v8'
import { EtherType, ethernet, gre, IpProtocol, ipv4, udp, vlan, vxlan } from 'ibverbs/ethernet'

const frameSize = 2048
const count = 64
const bytes = new Uint8Array(new SharedArrayBuffer(count * frameSize))
const macs = { destinationMac: '02:00:00:00:00:02', sourceMac: '02:00:00:00:00:01' }
const inVxlan = vxlan.outer({ ...macs, source: '10.0.0.1', destination: '10.0.0.2', networkIdentifier: 7 })
const inGre = gre.outer({
  ...macs,
  source: '2001:db8::1',
  destination: '2001:db8::2',
  key: 0xffffffff,
  checksum: true,
})
const [to, from] = [ethernet.parse(macs.destinationMac), ethernet.parse(macs.sourceMac)]
const headroom = 256
const end = (start) => start + headroom + 14 + 200

for (let i = 0; i < count; i++) {
  const at = i * frameSize + headroom
  const packet = ethernet.write(bytes, at, to, from, EtherType.ipv4)
  // Addresses above 2^31, which are no small integers to V8.
  const datagram = ipv4.write(bytes, packet, 180, IpProtocol.udp, 0xc0a80001 + i, 0xc0a80100, 255)
  udp.write(bytes, datagram, 1000 + i, 2000, 172)
  udp.writeChecksum(bytes, datagram, packet)
}

// Functions of a few calls each, as index.ts recommends: V8 does not inline everything into a long one.

function tunnel(at, stop, start, n) {
  let now = vxlan.push(bytes, at, stop, start, inVxlan, vxlan.flowPort(bytes, at, stop))
  now = vlan.push(bytes, now, start, vlan.controlOf(n & 0xfff, 3))
  now = vlan.pop(bytes, now, stop)
  now = vxlan.pop(bytes, now, stop)
  now = gre.push(bytes, now, stop, start, inGre)
  return gre.pop(bytes, now, stop)
}

function translate(packet, datagram, address) {
  udp.updateChecksum(bytes, datagram, ipv4.source(bytes, packet), address)
  ipv4.replaceSource(bytes, packet, address)
}

function hop(packet) {
  if (ipv4.decrementTtl(bytes, packet)) return
  ipv4.setTtl(bytes, packet, 255)
  ipv4.writeChecksum(bytes, packet)
}

let wrong = 0
function run(frames) {
  for (let n = 0; n < frames; n++) {
    const start = (n % count) * frameSize
    const stop = end(start)
    const at = tunnel(start + headroom, stop, start, n)
    const packet = vlan.payload(bytes, at, stop)
    if (vlan.payloadType(bytes, packet) !== EtherType.ipv4 || !ipv4.isValid(bytes, packet, stop)) wrong++
    const datagram = ipv4.payload(bytes, packet)
    translate(packet, datagram, (0xc0a80000 + (n & 0xffff)) | 0)
    hop(packet)
    if (!ipv4.verifyChecksum(bytes, packet) || !udp.verifyChecksum(bytes, datagram, packet)) wrong++
  }
}

// V8 compiles them here, and the pause lets the compiler's own garbage go.
for (let i = 0; i < 20; i++) {
  run(10_000)
  await new Promise((resolve) => setImmediate(resolve))
}
globalThis.gc()
const profiler = new GCProfiler()
profiler.start()
run(1_000_000)
const { statistics } = profiler.stop()
console.log(JSON.stringify({ wrong, collections: statistics.length }))
