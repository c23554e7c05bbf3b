// Part 2 of `npm start`: runs in a network namespace of its own, where the veth pair goes when this process goes.

import { execFileSync } from 'node:child_process'
import { readlinkSync } from 'node:fs'
import { PacketQueue } from 'ibverbs/ethernet'
import { histogram } from '../../../dist/cli/histogram.js'
import { Samples, summarize } from '../../../dist/cli/percentiles.js'
import { table } from '../../../dist/cli/table.js'

const frameSize = 64
const batch = 64
const rateSeconds = 3
const roundTrips = 20_000

function ip(...words) {
  execFileSync('ip', words, { stdio: ['ignore', 'ignore', 'inherit'] })
}

function assertOwnNamespace() {
  let machine
  try {
    machine = readlinkSync('/proc/1/ns/net')
  } catch {
    return // not root of the machine: then this namespace is ours, or making the veth pair fails
  }
  if (machine === readlinkSync('/proc/self/ns/net')) throw new Error('run this through npm start')
}

assertOwnNamespace()
ip('link', 'add', 'left', 'type', 'veth', 'peer', 'name', 'right')
for (const end of ['left', 'right']) ip('link', 'set', end, 'addrgenmode', 'none', 'up')

const left = PacketQueue.open('left', { batch })
const right = PacketQueue.open('right', { batch })
console.log(
  `left ${left.interface.mac} → right ${right.interface.mac}, backend ${left.backend}, ${frameSize}-byte frames`,
)

/** Ethernet header of a frame from one end to the other, EtherType 0x88b5 (IEEE 802 local experimental 1). */
function header(from, to) {
  const bytes = new Uint8Array(14)
  bytes.set(to.interface.macBytes, 0)
  bytes.set(from.interface.macBytes, 6)
  bytes.set([0x88, 0xb5], 12)
  return bytes
}

const leftHeader = header(left, right)
const rightHeader = header(right, left)

/** Claims a frame, writes header, number and a pattern that depends on it; −1 when there is none. */
function write(queue, head, number) {
  const slot = queue.claim()
  if (slot < 0) return false
  const { memory } = queue
  const at = queue.offset(slot)
  memory.set(head, at)
  memory[at + 14] = number
  memory[at + 15] = number >>> 8
  memory[at + 16] = number >>> 16
  memory[at + 17] = number >>> 24
  for (let i = 18; i < frameSize; i++) memory[at + i] = number + i
  queue.send(slot, frameSize)
  return true
}

/** Takes the next frames, checks every byte, and returns how many there were. */
let expected = 0
function check(queue, head) {
  const n = queue.receive()
  const { memory } = queue
  for (let k = 0; k < n; k++) {
    const slot = queue.slot(k)
    const at = queue.offset(slot)
    const number = expected++
    let wrong = queue.length(slot) !== frameSize
    for (let i = 0; i < 14; i++) wrong ||= memory[at + i] !== head[i]
    for (let i = 0; i < 4; i++) wrong ||= memory[at + 14 + i] !== ((number >>> (8 * i)) & 0xff)
    for (let i = 18; i < frameSize; i++) wrong ||= memory[at + i] !== ((number + i) & 0xff)
    if (wrong) throw new Error(`frame ${number} is not as it was sent: ${memory.slice(at, at + frameSize)}`)
    queue.release(slot)
  }
  return n
}

// --- rate: batches from left to right, each received and checked before the next ---

console.log(`sending batches of ${batch} for ${rateSeconds} seconds, checking every byte of every frame …`)
let sent = 0
const started = performance.now()
const end = started + rateSeconds * 1000
while (performance.now() < end) {
  for (let i = 0; i < batch; i++) if (write(left, leftHeader, sent)) sent++
  while (left.pending > 0) {
    left.submit()
    if (left.error) throw left.error
  }
  while (expected < sent && performance.now() < end + 2000) check(right, leftHeader)
  if (expected < sent) throw new Error(`${sent - expected} of ${sent} frames did not arrive`)
}
const seconds = (performance.now() - started) / 1000
const megabits = (sent * frameSize * 8) / seconds / 1e6
console.log(
  `${sent.toLocaleString('en')} frames sent, received and verified, none lost: ` +
    `${Math.round(sent / seconds).toLocaleString('en')} frames/s (${megabits.toFixed(0)} Mbit/s) ` +
    'in one thread',
)

// --- round trips: one frame there and back, busy polling ---

console.log(`${roundTrips.toLocaleString('en')} round trips of one frame, busy polling …`)
const samples = new Samples(roundTrips)
for (let i = 0; i < roundTrips + 1000; i++) {
  const begin = performance.now()
  expected = i
  write(left, leftHeader, i)
  left.submit()
  while (check(right, leftHeader) === 0);
  expected = i
  write(right, rightHeader, i)
  right.submit()
  while (check(left, rightHeader) === 0);
  // The first thousand let V8 compile what runs hot.
  if (i >= 1000) samples.record((performance.now() - begin) * 1000)
}
const sorted = samples.sorted()
const summary = summarize(sorted)
console.log('round trip, µs:')
const names = Object.keys(summary)
console.log(
  table(
    [names, names.map((name) => summary[name].toFixed(1))],
    names.map(() => 'right'),
  ),
)
console.log(histogram(sorted))
left.close()
right.close()
