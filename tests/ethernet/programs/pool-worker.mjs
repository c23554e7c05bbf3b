// A member of a pool that other threads share: claims frames, writes its number into each, gives some to the others and
// takes theirs. Reports how often a frame of its own carried another thread's mark.
import { setTimeout as pause } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { FramePool } from 'ibverbs/ethernet'
import { queueOver } from '../../../dist/ethernet/packet-queue.js'
import { MemoryPort } from './memory-port.mjs'

const { shared, mailbox, taken: counts, rounds, me, members } = workerData
const frames = FramePool.join(shared)
const queue = queueOver(frames, 1, new MemoryPort(1, 60), 0)
const words = new Uint32Array(frames.arena.bytes.buffer, frames.arena.bytes.byteOffset)
const at = (slot) => frames.offset(slot) / 4
let wrong = 0
let claimed = 0
const mine = []

/** The frame is this thread's from now on. */
function own(slot) {
  words[at(slot)] = me
  mine.push(slot)
}
function check(slot) {
  if (words[at(slot)] !== me) wrong++
}

// A step is short, so that the threads contend on any machine. The test does not end before every thread has run its
// share: on a busy machine one thread may run alone for long.
const going = (round) => round < rounds || counts.subarray(1).some((taken) => taken < 10)
for (let round = 0; going(round); round++) {
  const slot = queue.claim()
  if (slot >= 0) {
    claimed++
    own(slot)
  }
  const given = Atomics.exchange(mailbox, me, 0)
  if (given !== 0) {
    frames.take(given - 1)
    Atomics.add(counts, me, 1)
    own(given - 1)
  }
  for (const slot of mine) check(slot)
  while (mine.length > 40 || (mine.length > 0 && slot < 0)) {
    const next = mine.shift()
    const to = 1 + ((me + round) % members)
    // Clears its mark before it gives the frame: the next owner writes its own.
    if (to !== me && Atomics.load(mailbox, to) === 0) {
      frames.give(next)
      if (Atomics.compareExchange(mailbox, to, 0, next + 1) !== 0) {
        frames.take(next)
        words[at(next)] = me
        frames.release(next)
      }
    } else {
      frames.release(next)
    }
  }
  if (round % 1000 === 0) await pause(0)
}
for (const slot of mine) {
  check(slot)
  frames.release(slot)
}
parentPort.postMessage({ member: frames.member, wrong, claimed })
