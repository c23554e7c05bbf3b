// What `npm start` does with two packet queues that hear each other, whatever is below them.

import { histogram } from '../../../dist/lab/histogram.js'
import { Samples, summarize } from '../../../dist/lab/percentiles.js'
import { table } from '../../../dist/lab/table.js'

/** Frames of a batch: the queues' own may be larger. */
export const batch = 64
const frameSize = 64
const rateSeconds = 3
const uncounted = 1000

/** Ethernet header of a frame from one end to the other, EtherType 0x88b5 (IEEE 802 local experimental 1). */
function header(from, to) {
  const bytes = new Uint8Array(14)
  bytes.set(to.interface.macBytes, 0)
  bytes.set(from.interface.macBytes, 6)
  bytes.set([0x88, 0xb5], 12)
  return bytes
}

/** Claims a frame and writes header, number and a pattern that depends on it; false when there is none. */
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
function check(queue, head, expected) {
  const n = queue.receive()
  const { memory } = queue
  for (let k = 0; k < n; k++) {
    const slot = queue.slot(k)
    const at = queue.offset(slot)
    const number = expected + k
    let wrong = queue.length(slot) !== frameSize
    for (let i = 0; i < 14; i++) wrong ||= memory[at + i] !== head[i]
    for (let i = 0; i < 4; i++) wrong ||= memory[at + 14 + i] !== ((number >>> (8 * i)) & 0xff)
    for (let i = 18; i < frameSize; i++) wrong ||= memory[at + i] !== ((number + i) & 0xff)
    if (wrong) throw new Error(`frame ${number} is not as it was sent: ${memory.slice(at, at + frameSize)}`)
    queue.release(slot)
  }
  return n
}

/** Batches from left to right, each received and checked before the next: prints frames a second. */
export function rate(left, right) {
  const end = ({ name, mac }) => `${name} (${mac})`
  console.log(`${end(left.interface)} → ${end(right.interface)}, backend ${left.backend}`)
  console.log(
    `batches of ${batch} frames of ${frameSize} bytes for ${rateSeconds} seconds, every byte checked …`,
  )
  const head = header(left, right)
  let sent = 0
  let received = 0
  const started = performance.now()
  const until = started + rateSeconds * 1000
  while (performance.now() < until) {
    for (let i = 0; i < batch; i++) if (write(left, head, sent)) sent++
    while (left.pending > 0) {
      left.submit()
      if (left.error) throw left.error
    }
    while (received < sent && performance.now() < until + 2000) received += check(right, head, received)
    if (received < sent) throw new Error(`${sent - received} of ${sent} frames did not arrive`)
  }
  const seconds = (performance.now() - started) / 1000
  const megabits = (sent * frameSize * 8) / seconds / 1e6
  console.log(
    `${sent.toLocaleString('en')} frames sent, received and verified, none lost: ` +
      `${Math.round(sent / seconds).toLocaleString('en')} frames/s (${megabits.toFixed(0)} Mbit/s) ` +
      'in one thread',
  )
}

/** One frame there and back, busy polling: prints percentiles and a histogram. */
export function roundTrips(left, right, count) {
  const there = header(left, right)
  const back = header(right, left)
  printRoundTrips('one frame', count, (i) => {
    write(left, there, i)
    left.submit()
    while (check(right, there, i) === 0);
    write(right, back, i)
    right.submit()
    while (check(left, back, i) === 0);
  })
}

/** Times `turn(i)`, prints percentiles and a histogram. The first thousand let V8 compile what runs hot. */
export function printRoundTrips(what, count, turn) {
  console.log(`${count.toLocaleString('en')} round trips of ${what}, busy polling …`)
  const samples = new Samples(count)
  for (let i = 0; i < count + uncounted; i++) {
    const begin = performance.now()
    turn(i)
    if (i >= uncounted) samples.record((performance.now() - begin) * 1000)
  }
  const sorted = samples.sorted()
  const summary = summarize(sorted)
  const names = Object.keys(summary)
  console.log('round trip, µs:')
  console.log(
    table(
      [names, names.map((name) => summary[name].toFixed(1))],
      names.map(() => 'right'),
    ),
  )
  console.log(histogram(sorted))
}
