// Our side of the benchmarks of raw Ethernet, a process of its own: bench/peers/frames.h in TypeScript, line for line.
//
//   worker.js '{"backend":"af_xdp","in":"eth0","out":"eth1","to":"02:…","size":64,"batch":32}'
//   tx 20000 1000         →  [frames a second]
//   …                        as there
import { performance } from 'node:perf_hooks'
import { createInterface } from 'node:readline'
import { FramePool, PacketQueue, type PacketQueueOptions, parseMac } from 'ibverbs/ethernet'
import { percentile } from '../statistics.js'

/** Options of a worker, given at its start. */
export interface WorkerOptions {
  backend: 'af_packet' | 'af_xdp'
  in?: string
  out?: string
  /** Destination address of sent frames. */
  to: string
  /** Bytes of a frame, without the frame check sequence. */
  size: number
  batch: number
  /** Options of the queues that the benchmark needs. */
  queue?: PacketQueueOptions
}

const etherType = 0x88b5
const sequenceAt = 14
const timeout = 10_000

const options: WorkerOptions = JSON.parse(process.argv[2])
const { backend, size, batch, to } = options
const frames = new FramePool({ frameCount: 4096, frameSize: 2048 })
const memory = frames.arena.bytes
const view = new DataView(memory.buffer, memory.byteOffset, memory.byteLength)
const open = (name: string, transmitOnly: boolean): PacketQueue =>
  PacketQueue.open(name, { backend, frames, batch, transmitOnly, ...options.queue })
const receiver = options.in === undefined ? undefined : open(options.in, false)
const transmitter =
  options.out === undefined ? undefined : options.out === options.in ? receiver : open(options.out, true)
let sequence = 0
let times = new Float64Array(0)
let timed = 0

/** Destination, source, EtherType. */
const header = Uint8Array.of(
  ...parseMac(to),
  ...(transmitter?.interface.macBytes ?? new Uint8Array(6)),
  ...[etherType >> 8, etherType & 0xff],
)

/** Writes every frame once, except for its sequence number. */
function writeFrames(queue: PacketQueue): void {
  const frame = new Uint8Array(size).fill(0x5a)
  frame.set(header)
  const claimed: number[] = []
  for (let slot = queue.claim(); slot >= 0; slot = queue.claim()) {
    memory.set(frame, queue.offset(slot))
    claimed.push(slot)
  }
  for (const slot of claimed.reverse()) queue.release(slot)
}

function submit(queue: PacketQueue): void {
  queue.submit()
  while (queue.pending > 0) again(queue)
}

function again(queue: PacketQueue): void {
  const { error } = queue
  if (error && error.code !== 'ENOBUFS') throw error
  queue.submit()
}

/** Claims a free frame; polls while all are in flight. */
function claim(queue: PacketQueue): number {
  let slot = queue.claim()
  while (slot < 0) {
    queue.submit()
    slot = queue.claim()
  }
  return slot
}

/** Polls until frames arrive. Reads the clock once in 4096 empty polls. */
function awaitFrames(queue: PacketQueue): number {
  let since = 0
  for (let looks = 1; ; looks++) {
    const count = queue.receive()
    if (count > 0) return count
    if ((looks & 4095) === 0) since = waitLonger(since)
  }
}

/** Throws after a silence so long that frames must be lost. */
function waitLonger(since: number): number {
  const now = performance.now()
  if (since > 0 && now - since > timeout) throw new Error('no frame came')
  return since > 0 ? since : now
}

function checkFrame(queue: PacketQueue, slot: number, at: number): void {
  if (queue.length(slot) === size && memory[at + 12] === etherType >> 8) return
  throw new Error(`a frame of ${queue.length(slot)} bytes that nobody sent`)
}

function transmit(out: PacketQueue, total: number): void {
  for (let sent = 0; sent < total; ) {
    const count = Math.min(batch, total - sent)
    for (let i = 0; i < count; i++) {
      const slot = claim(out)
      view.setUint32(out.offset(slot) + sequenceAt, sequence++, true)
      out.send(slot, size)
    }
    submit(out)
    sent += count
  }
}

function receive(queue: PacketQueue, total: number): void {
  for (let received = 0; received < total; ) {
    const count = awaitFrames(queue)
    for (let i = 0; i < count; i++) {
      const slot = queue.slot(i)
      checkFrame(queue, slot, queue.offset(slot))
      queue.release(slot)
    }
    received += count
  }
}

function forwardBatch(queue: PacketQueue, out: PacketQueue, count: number): void {
  for (let i = 0; i < count; i++) {
    const slot = queue.slot(i)
    memory[queue.offset(slot) + size - 1] ^= 1
    out.forward(slot)
  }
  submit(out)
}

function forward(queue: PacketQueue, out: PacketQueue, total: number): void {
  for (let received = 0; received < total; ) {
    const count = awaitFrames(queue)
    forwardBatch(queue, out, count)
    received += count
  }
}

function reflect(queue: PacketQueue, total: number): void {
  for (let received = 0; received < total; ) {
    const count = awaitFrames(queue)
    for (let i = 0; i < count; i++) {
      const slot = queue.slot(i)
      const at = queue.offset(slot)
      for (let byte = at; byte < at + 6; byte++) {
        const other = memory[byte]
        memory[byte] = memory[byte + 6]
        memory[byte + 6] = other
      }
      queue.forward(slot)
    }
    submit(queue)
    received += count
  }
}

function service(queue: PacketQueue, out: PacketQueue, total: number): void {
  let since = 0
  let looks = 0
  timed = 0
  for (let received = 0; received < total; ) {
    const count = queue.receive()
    if (count === 0) {
      if ((++looks & 4095) === 0) since = waitLonger(since)
      continue
    }
    // Not before each poll: Node's clock allocates its result, and at millions of polls per second the benchmark would
    // measure that.
    const begin = performance.now()
    since = 0
    forwardBatch(queue, out, count)
    times[timed++] = performance.now() - begin
    received += count
  }
}

function roundTrips(queue: PacketQueue, total: number): void {
  for (timed = 0; timed < total; timed++) {
    const begin = performance.now()
    const sent = claim(queue)
    // The slot may hold a frame received last.
    for (let i = 0, at = queue.offset(sent); i < header.length; i++) memory[at + i] = header[i]
    view.setUint32(queue.offset(sent) + sequenceAt, ++sequence, true)
    queue.send(sent, size)
    submit(queue)
    awaitFrames(queue)
    times[timed] = performance.now() - begin
    const slot = queue.slot(0)
    const at = queue.offset(slot)
    checkFrame(queue, slot, at)
    const echoed = view.getUint32(at + sequenceAt, true)
    if (echoed !== sequence) throw new Error(`frame ${sequence} came back as ${echoed}`)
    queue.release(slot)
  }
}

function look(queue: PacketQueue, total: number): void {
  for (let looks = 0; looks < total; looks++) if (queue.receive() !== 0) throw new Error('a frame came')
}

function needed(queue: PacketQueue | undefined): PacketQueue {
  if (!queue) throw new Error('no interface was named')
  return queue
}

const rates: Record<string, (total: number) => void> = {
  tx: (total) => transmit(needed(transmitter), total),
  rx: (total) => receive(needed(receiver), total),
  forward: (total) => forward(needed(receiver), needed(transmitter), total),
}
const latencies: Record<string, { run: (total: number) => void; percents: number[] }> = {
  'round-trip': { run: (total) => roundTrips(needed(receiver), total), percents: [50, 99] },
  service: {
    run: (total) => service(needed(receiver), needed(transmitter), total),
    percents: [50, 99, 99.9],
  },
}

function answer(command: string, count: number, warmup: number): number[] {
  if (command === 'reflect') {
    reflect(needed(receiver), count + warmup)
    return [count + warmup]
  }
  if (command === 'look') {
    look(needed(receiver), warmup)
    const begin = performance.now()
    look(needed(receiver), count)
    return [((performance.now() - begin) * 1e6) / count]
  }
  const rate = rates[command]
  if (rate) {
    rate(warmup)
    const begin = performance.now()
    rate(count)
    return [(count * 1000) / (performance.now() - begin)]
  }
  const { run, percents } = latencies[command]
  if (times.length < count + warmup) times = new Float64Array(count + warmup)
  run(warmup)
  run(count)
  const sorted = times.slice(0, timed).sort()
  return percents.map((percent) => percentile(sorted, percent) * 1000)
}

if (transmitter) writeFrames(transmitter)
console.log('ready')
for await (const line of createInterface({ input: process.stdin })) {
  const [command, count, warmup] = line.split(' ')
  console.log(JSON.stringify(answer(command, Number(count), Number(warmup))))
}
receiver?.close()
transmitter?.close()
