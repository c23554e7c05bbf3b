/** Checks of the rings themselves: requests written by hand, the register, and completions byte by byte. */
import {
  type DirectCompletionQueue,
  type DirectQueuePair,
  decodeCompletion,
  layout,
} from '../../mlx5/index.js'
import { type Bench, pattern } from './bench.js'
import type { Check } from './check.js'
import { assertBytes, assertEqual, assertTrue } from './mismatch.js'

const { controlSegment, dataSegment, CompletionMode, SendOpcode, CqeOpcode } = layout

/** An entry that has come; undefined when there is none. */
function look(queue: DirectCompletionQueue, index: number): Uint8Array | undefined {
  const at = (index & (queue.count - 1)) * queue.stride
  const own = queue.bytes[at + queue.stride - 1]
  const lap = (index / queue.count) & 1
  return own >> 4 === CqeOpcode.INVALID || (own & 1) !== lap
    ? undefined
    : queue.bytes.slice(at, at + queue.stride)
}

/** A message whose bytes lie in its request, of one block. Returns the request's bytes. */
function writeInline(rings: DirectQueuePair, counter: number, data: Uint8Array): number {
  const { view, bytes, count } = rings.send
  const at = (counter & (count - 1)) * layout.basicBlock
  const segments = Math.ceil((4 + data.length) / layout.segmentUnit)
  const { fields } = controlSegment
  bytes.fill(0, at, at + layout.basicBlock)
  view.setUint32(at + fields.opcode.offset, ((counter & 0xffff) << fields.index.low) | SendOpcode.SEND)
  view.setUint32(at + fields.queuePairNumber.offset, (rings.number << 8) | (1 + segments))
  view.setUint8(at + fields.completion.offset, CompletionMode.ALWAYS << fields.completion.low)
  view.setUint32(at + controlSegment.length, layout.inlineSegment + data.length)
  bytes.set(data, at + controlSegment.length + 4)
  return controlSegment.length + segments * layout.segmentUnit
}

/** Messages of 28 bytes by hand, three laps of every ring; in the register the first 8 bytes of each, or all of it. */
async function byHand(bench: Bench, blueFlame: boolean): Promise<Record<string, unknown>> {
  const { domain, cq, rings } = bench.direct('RC')
  const memory = domain.registerMemory(4096)
  const { view, stride } = rings.receive
  const length = 28
  const rounds = 3 * Math.max(cq.count, rings.send.count, rings.receive.count)
  let taken = 0
  for (let round = 0; round < rounds; round++) {
    const at = (round & (rings.receive.count - 1)) * stride
    const { byteCount, key, address } = dataSegment.fields
    view.setUint32(at + byteCount.offset, 2048)
    view.setUint32(at + key.offset, memory.lkey)
    view.setBigUint64(at + address.offset, memory.address)
    if (stride > dataSegment.length) {
      view.setUint32(at + dataSegment.length + byteCount.offset, 0)
      view.setUint32(at + dataSegment.length + key.offset, layout.invalidLkey)
    }
    rings.publishReceives((round + 1) & 0xffff)
    const data = pattern(length, round)
    const bytes = writeInline(rings, round, data)
    const copied = blueFlame && bytes <= rings.blueFlame ? bytes : 0
    rings.ringSend((round + 1) & 0xffff, round & 0xffff, copied)
    for (const _ of ['send', 'receive']) {
      await bench.until(
        `message ${round}: completion ${taken} did not come`,
        () => look(cq, taken) !== undefined,
      )
      const entry = look(cq, taken) as Uint8Array
      const decoded = decodeCompletion(entry, { type: 'RC' })
      const number = (name: string) =>
        decoded.segments.flatMap(({ fields }) => fields.filter((field) => field.name === name))[0]?.value
      const isSend = decoded.opcode?.startsWith('REQ') ?? false
      const what = `message ${round}: ${isSend ? 'send' : 'receive'}`
      const { explanation } = decoded
      assertTrue(`${what}: ${decoded.title}: ${explanation}`, explanation === undefined)
      if (!isSend) assertEqual(`${what}: opcode`, decoded.opcode, 'RESP_SEND')
      assertEqual(`${what}: number of the queue pair`, number('queuePairNumber'), rings.number)
      assertEqual(`${what}: counter of the request`, number('wqeCounter'), round & 0xffff)
      if (!isSend) {
        assertEqual(`${what}: bytes`, number('byteCount'), length)
        // A short message lies in its completion, where the device does so (scatter to CQE).
        const inEntry = decoded.format !== 'NO_INLINE_DATA' && decoded.format !== 'COMPRESSED'
        const place = entry.length === 128 && decoded.format === 'INLINE_DATA_64' ? 0 : entry.length - 64
        const found = inEntry ? entry.subarray(place, place + length) : memory.bytes.slice(0, length)
        assertBytes(what, found, data)
      }
      taken++
      cq.setConsumerIndex(taken & 0xffffff)
    }
  }
  return { messages: rounds, registerBytes: rings.blueFlame, entryBytes: cq.stride }
}

/** Sleeps until a completion, again and again; half of them armed when it is there already. */
async function arming(bench: Bench): Promise<Record<string, unknown>> {
  const { cq, rings } = bench.direct('UC')
  const sleeps = 100
  const data = pattern(8, 1)
  for (let i = 0; i < sleeps; i++) {
    const send = () => {
      writeInline(rings, i, data)
      rings.ringSend((i + 1) & 0xffff, i & 0xffff)
    }
    const early = i % 2 === 0
    if (!early) {
      send()
      await bench.until(`completion ${i} did not come`, () => look(cq, i) !== undefined)
    }
    cq.arm(i & 3, i)
    if (early) send()
    await bench.inTime(`sleep ${i}: no event came`, (signal) => cq.event({ signal }))
    await bench.until(`sleep ${i}: an event without a completion`, () => look(cq, i) !== undefined)
    cq.setConsumerIndex(i + 1)
  }
  return { sleeps }
}

export const directChecks: Check[] = [
  { name: 'direct', what: 'requests and completions by hand', run: (bench) => byHand(bench, false) },
  { name: 'blue-flame', what: 'requests written to the register', run: (bench) => byHand(bench, true) },
  { name: 'arming', what: 'sleeps until a completion', run: arming },
]
