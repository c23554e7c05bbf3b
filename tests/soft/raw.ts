/** Raw packet queue pairs on two software ports that are connected to each other. */
import {
  type CompletionQueue,
  type Context,
  type MemoryRegion,
  open,
  type QueuePair,
  type QueuePairOptions,
} from 'ibverbs'
import { type SoftOptions, softConnectX } from 'ibverbs/soft'
import { limit } from '../beds/limit.js'

export interface End {
  context: Context
  memory: MemoryRegion
  cq: CompletionQueue
  pair: QueuePair
  mac: Uint8Array
  /** receives so far: each takes the next of 64 places */
  receives: number
}

/** One end's queue pair, connected; its region is 64 frames of 2048 bytes. */
export function openEnd(name: string, mac: string, options?: Partial<QueuePairOptions>): End {
  const context = open(name)
  const domain = context.allocateProtectionDomain()
  const memory = domain.registerMemory(64 * 2048)
  const cq = context.createCompletionQueue(512)
  const pair = domain.createQueuePair({ type: 'RAW_PACKET', cq, ...options })
  pair.connect()
  return {
    context,
    memory,
    cq,
    pair,
    mac: Uint8Array.from(mac.split(':'), (part) => Number.parseInt(part, 16)),
    receives: 0,
  }
}

export interface Pair extends Disposable {
  soft: ReturnType<typeof softConnectX>
  a: End
  b: End
}

export function softPair(options?: Partial<QueuePairOptions>, softOptions?: SoftOptions): Pair {
  const soft = softConnectX({ wire: 'pair', ...softOptions })
  const [first, second] = soft.devices()
  const a = openEnd(first.name, first.ports[0].mac, options)
  const b = openEnd(second.name, second.ports[0].mac, options)
  const close = (): void => {
    a.context.close()
    b.context.close()
    soft.close()
  }
  return { soft, a, b, [Symbol.dispose]: close }
}

/** Posts receives for `count` frames. */
export function expectFrames(end: End, count: number): void {
  const receive = end.pair.prepareReceive({ memory: end.memory })
  for (let i = 0; i < count; i++) {
    const place = end.receives++ % 64
    receive.post(place, (63 - place) * 2048, 2048)
  }
  if (end.pair.submit() !== count) throw end.pair.error
}

/** Sends frames from the beginning of the region, and waits for their completions. */
export async function send(
  end: End,
  frames: Uint8Array[],
  flags: { checksum?: boolean; inline?: boolean } = {},
): Promise<void> {
  const request = end.pair.prepareSend({ memory: end.memory, ...flags })
  for (const [i, bytes] of frames.entries()) {
    end.memory.bytes.set(bytes, i * 2048)
    request.post(i, i * 2048, bytes.length)
  }
  if (end.pair.submit() !== frames.length) throw end.pair.error
  for (const { status } of await completions(end, frames.length)) {
    if (status !== 'SUCCESS') throw new Error(status)
  }
}

export interface Row {
  cookie: number
  status: string
  opcode: string
  byteLength: number
  flags: number
  flowTag: number
  queuePair: number
}

/** Waits for `count` completions. */
export async function completions({ cq }: End, count: number): Promise<Row[]> {
  const rows: Row[] = []
  while (rows.length < count) {
    const n = await cq.wait({ signal: AbortSignal.timeout(limit) })
    for (let i = 0; i < n; i++) {
      rows.push({
        cookie: cq.cookie[i],
        status: cq.statusName(i),
        opcode: cq.opcodeName(i),
        byteLength: cq.byteLength[i],
        flags: cq.flags[i],
        flowTag: cq.flowTag[i],
        queuePair: cq.queuePairNumber[i],
      })
    }
  }
  return rows
}

/** The bytes that a receive of {@link expectFrames} received. */
export function frameOf(end: End, { cookie, byteLength }: Row): Uint8Array {
  const at = (63 - cookie) * 2048
  return Uint8Array.from(end.memory.bytes.subarray(at, at + byteLength))
}

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

/** An Ethernet frame with a payload derived from its number. */
export function frame(
  to: Uint8Array,
  from: Uint8Array,
  type: number,
  length: number,
  number = 0,
): Uint8Array {
  const bytes = Uint8Array.from({ length }, (_, i) => (i * 7 + number * 13) & 0xff)
  bytes.set([...to, ...from, type >> 8, type & 0xff])
  return bytes
}

export const broadcast = new Uint8Array(6).fill(0xff)
/** Local experimental EtherType (IEEE 802). */
export const etherType = 0x88b5
