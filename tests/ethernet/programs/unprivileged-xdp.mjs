// Run in a user and network namespace of its own: AF_XDP's errors there, and the parts of it that work.
import { execFileSync } from 'node:child_process'
import { PacketQueue, queryInterface } from 'ibverbs/ethernet'

const ip = (...words) => execFileSync('ip', words, { encoding: 'utf8' })
ip('link', 'add', 'left', 'numrxqueues', '1', 'type', 'veth', 'peer', 'name', 'right', 'numrxqueues', '1')
for (const end of ['left', 'right']) ip('link', 'set', end, 'up')
for (const end of ['left', 'right']) while (!queryInterface(end).running);

const options = { etherType: 0x88b5, frameCount: 64 }
let named
try {
  PacketQueue.open('left', { ...options, backend: 'af_xdp' })
} catch ({ code, syscall, message }) {
  named = { code, syscall, message }
}
const right = PacketQueue.open('right', { ...options, exclusive: true, promiscuous: true })
const { backend: exclusive, notUsed } = right.report
const left = PacketQueue.open('left', { ...options, backend: 'af_xdp', transmitOnly: true })
for (let i = 0; i < 5; i++) {
  const slot = left.claim()
  left.memory.set([0x88, 0xb5], left.offset(slot) + 12)
  left.send(slot, 60)
}
const transmitted = left.submit()
let received = 0
while (received < transmitted) {
  await right.wait({ signal: AbortSignal.timeout(10_000) })
  received += right.receive()
}
console.log(JSON.stringify({ named, exclusive, why: notUsed[0].why, transmitted, received }))
left.close()
right.close()
