// Run in a user and network namespace of its own: makes a wire, carries frames both ways, and prints the result.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { PacketQueue, queryInterface } from 'ibverbs/ethernet'

const ip = (...words) => execFileSync('ip', words, { encoding: 'utf8' })
ip('link', 'add', 'left', 'type', 'veth', 'peer', 'name', 'right')
for (const end of ['left', 'right']) ip('link', 'set', end, 'up')
for (const end of ['left', 'right']) while (!queryInterface(end).running);

const options = { etherType: 0x88b5, frameCount: 256 }
const left = PacketQueue.open('left', options)
const right = PacketQueue.open('right', { ...options, promiscuous: true, multicast: 'all' })
const signal = AbortSignal.timeout(20_000)
let checked = 0

async function carry(from, to, length) {
  for (let i = 0; i < 32; i++) {
    const slot = from.claim()
    const at = from.offset(slot)
    from.memory.set(to.interface.macBytes, at)
    from.memory.set(from.interface.macBytes, at + 6)
    from.memory.set([0x88, 0xb5], at + 12)
    for (let k = 14; k < length; k++) from.memory[at + k] = (k * 7 + i) & 0xff
    from.send(slot, length)
  }
  if (from.submit() !== 32) throw from.error ?? new Error('not all were accepted')
  for (let i = 0; i < 32; ) {
    await to.wait({ signal })
    const n = to.receive()
    for (let j = 0; j < n; j++, i++) {
      const slot = to.slot(j)
      const at = to.offset(slot)
      if (to.length(slot) !== length) throw new Error(`frame ${i}: ${to.length(slot)} of ${length} bytes`)
      for (let k = 14; k < length; k++) {
        if (to.memory[at + k] !== ((k * 7 + i) & 0xff)) throw new Error(`frame ${i}, byte ${k}`)
        checked++
      }
      to.release(slot)
    }
  }
}

for (let length = 14; length <= 1514; length += 50) {
  await carry(left, right, length)
  await carry(right, left, length)
}
const { received, dropped, transmitted } = left.statistics()
left.close()
right.close()
const user = readFileSync('/proc/self/uid_map', 'latin1').trim().split(/\s+/)
console.log(JSON.stringify({ checked, received, dropped, transmitted, mappedUsers: Number(user[2]) }))
