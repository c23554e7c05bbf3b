/** One request from a program to a device and back, written down byte by byte. */
import { setImmediate as turn } from 'node:timers/promises'
import { targetOf } from '../../ethernet/raw-packet/rdma-port.js'
import { type Context, type MemoryRegion, open } from '../../index.js'
import {
  createCompletionQueue,
  createQueuePair,
  type DecodedCompletion,
  type DecodedEntry,
  type DirectCompletionQueue,
  type DirectQueuePair,
  decodeCompletion,
  decodeDoorbell,
  decodeReceiveRequest,
  decodeSendRequest,
  direct,
  layout,
} from '../../mlx5/index.js'
import { exampleFrame } from './example-frame.js'
import type { Kind } from './kinds.js'
import * as requests from './requests.js'
import { Sniffer } from './sniffer.js'

export type Side = 'sender' | 'wire' | 'receiver'

/** A step: what who did, and the bytes that say it. */
export interface Step {
  side: Side
  title: string
  /** An entry of a ring, or what was written to a register. */
  entry?: DecodedEntry
  /** A doorbell record before the step; `entry` is after it. */
  before?: DecodedEntry
  /** A frame, or memory. */
  bytes?: Uint8Array
}

export interface Conversation {
  device: string
  kind: Kind
  steps: Step[]
}

/** Milliseconds for the device to answer. */
const patience = 5000
const page = 4096
/** More than 64 bytes: what is shorter may come with its completion (scatter to CQE), and its memory stays as it was. */
const greeting = 'hello, peer! This message is too long for a completion, so memory has it whole.'

/**
 * Opens the device, does one request on it, and closes it.
 *
 * @throws VerbsError; Error when the device does not answer in time; the signal's reason
 */
export async function converse(device: string, kind: Kind, signal: AbortSignal): Promise<Conversation> {
  const { macBytes } = targetOf(device, undefined, undefined).interface
  const context = open(device)
  try {
    return { device, kind, steps: await new Talk(context, macBytes, kind, signal).run() }
  } finally {
    context.close()
  }
}

class Talk {
  readonly #kind: Kind
  readonly #signal: AbortSignal
  readonly #steps: Step[] = []
  readonly #sniffer: Sniffer | undefined
  readonly #memory: MemoryRegion
  readonly #sender: DirectQueuePair
  readonly #receiver: DirectQueuePair
  readonly #sends: DirectCompletionQueue
  readonly #receives: DirectCompletionQueue
  readonly #mac: Uint8Array

  constructor(context: Context, mac: Uint8Array, kind: Kind, signal: AbortSignal) {
    this.#kind = kind
    this.#signal = signal
    const domain = context.allocateProtectionDomain()
    this.#mac = mac
    this.#sniffer = Sniffer.open(domain)
    this.#memory = domain.registerMemory(2 * page, {
      access: ['LOCAL_WRITE', 'REMOTE_WRITE', 'REMOTE_READ', 'REMOTE_ATOMIC'],
    })
    const cqs = [0, 1].map(() => createCompletionQueue(domain, 128))
    const type = kind === 'frame' ? 'RAW_PACKET' : 'RC'
    const small = { maxSendWr: 4, maxReceiveWr: 4 }
    const pairs = cqs.map((cq) => createQueuePair(domain, { type, cq, ...small }))
    if (type === 'RC') {
      pairs[0].connect(pairs[1].endpoint)
      pairs[1].connect(pairs[0].endpoint)
    } else {
      for (const pair of pairs) pair.connect()
      pairs[1].createFlow({ destinationMac: this.#mac })
    }
    ;[this.#sender, this.#receiver] = pairs.map((pair) => direct(pair))
    ;[this.#sends, this.#receives] = cqs.map((cq) => direct(cq))
  }

  async run(): Promise<Step[]> {
    const kind = this.#kind
    const message = kind === 'frame' ? exampleFrame(this.#mac) : new TextEncoder().encode(greeting)
    const length = kind === 'atomic' ? 8 : message.length
    const here = { memory: this.#memory, offset: 0, length }
    const there = { memory: this.#memory, offset: page, length }
    if (kind === 'read') this.#memory.bytes.set(message, page)
    else if (kind === 'atomic') this.#view.setBigUint64(page, 40n, true)
    else this.#memory.bytes.set(message, 0)

    const receives = kind === 'send' || kind === 'frame'
    if (receives) this.#receive({ ...there, length: 2048 })
    this.#write(here, there)
    this.#ring()
    const sent = await this.#completion(this.#sends, 'sends')
    const received = receives ? await this.#completion(this.#receives, 'receives') : undefined
    await this.#frames()
    if (received) {
      this.#complete('receiver', this.#receives, received, 'what came')
    }
    if (kind !== 'read') this.#show('receiver', there, kind === 'write' ? 'which no completion tells of' : '')
    this.#complete('sender', this.#sends, sent, 'the request')
    if (kind === 'read' || kind === 'atomic') this.#show('sender', here, '')
    return this.#steps
  }

  get #view(): DataView {
    const { bytes } = this.#memory
    return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  #receive(stretch: requests.Stretch): void {
    const pair = this.#receiver
    requests.writeReceive(pair, stretch)
    const entry = decodeReceiveRequest(pair.receive.bytes.slice(0, pair.receive.stride))
    this.#steps.push({ side: 'receiver', title: 'writes a receive request into its ring', entry })
    this.#record('receiver', 'tells the device of it: the doorbell record', pair.receive.record, () =>
      pair.publishReceives(1),
    )
  }

  #write(here: requests.Stretch, there: requests.Stretch): void {
    const pair = this.#sender
    switch (this.#kind) {
      case 'frame':
        requests.writeFrame(pair, here)
        break
      case 'send':
        requests.writeSend(pair, here)
        break
      case 'write':
        requests.writeTransfer(pair, layout.SendOpcode.RDMA_WRITE, here, there)
        break
      case 'read':
        requests.writeTransfer(pair, layout.SendOpcode.RDMA_READ, here, there)
        break
      case 'atomic':
        requests.writeFetchAndAdd(pair, here, there, 2n)
    }
    const type = this.#kind === 'frame' ? 'RAW_PACKET' : 'RC'
    const entry = decodeSendRequest(pair.send.bytes.subarray(0, layout.basicBlock * 2), { type })
    this.#steps.push({ side: 'sender', title: 'writes a send request into its ring', entry })
  }

  #ring(): void {
    const pair = this.#sender
    this.#record(
      'sender',
      'tells the device how far its ring is filled: the doorbell record',
      pair.receive.record,
      () => pair.ringSend(1, 0),
    )
    this.#steps.push({
      side: 'sender',
      title: "writes the request's first 8 bytes to the device's register: the doorbell, which says “look”",
      bytes: pair.send.bytes.slice(0, 8),
    })
  }

  /** @param record the first of the two words of a queue pair's record */
  #record(side: Side, title: string, record: Int32Array, change: () => void): void {
    const bytes = new Uint8Array(record.buffer, record.byteOffset, 8)
    const before = decodeDoorbell(bytes.slice(), 'workQueue')
    change()
    this.#steps.push({ side, title, before, entry: decodeDoorbell(bytes.slice(), 'workQueue') })
  }

  /** Waits for a queue's first entry. */
  async #completion(queue: DirectCompletionQueue, what: string): Promise<DecodedCompletion> {
    const deadline = performance.now() + patience
    const at = queue.stride - layout.cqeLength + layout.otherCqe.fields.opcode.offset
    for (;;) {
      const own = queue.bytes[at]
      // In the first lap the owner bit is 0.
      if (own >> 4 !== layout.CqeOpcode.INVALID && (own & 1) === 0) break
      this.#signal.throwIfAborted()
      if (performance.now() > deadline) {
        throw new Error(
          `the device completed no ${what} within ${patience / 1000} s: is the port connected to itself?`,
        )
      }
      await turn()
    }
    const completion = decodeCompletion(queue.bytes.slice(0, queue.stride), {
      type: this.#kind === 'frame' ? 'RAW_PACKET' : 'RC',
    })
    if (completion.explanation) throw new Error(`${completion.title}: ${completion.explanation}`)
    return completion
  }

  #complete(side: Side, queue: DirectCompletionQueue, entry: DecodedCompletion, what: string): void {
    this.#steps.push({
      side,
      title: `finds a completion of ${what}: the owner bit is that of this lap`,
      entry,
    })
    const record = new Uint8Array(queue.record.buffer, queue.record.byteOffset, 8)
    const before = decodeDoorbell(record.slice(), 'completionQueue')
    queue.setConsumerIndex(1)
    this.#steps.push({
      side,
      title: 'gives the entry back: the doorbell record of the completion queue',
      before,
      entry: decodeDoorbell(record.slice(), 'completionQueue'),
    })
  }

  async #frames(): Promise<void> {
    if (!this.#sniffer) return
    // Requests and what the peer answered: a send's acknowledgement is on the wire before the send completes.
    const frames = await this.#sniffer.frames(this.#signal)
    for (const bytes of frames) this.#steps.push({ side: 'wire', title: 'a frame', bytes })
  }

  #show(side: Side, { memory, offset, length }: requests.Stretch, why: string): void {
    this.#steps.push({
      side,
      title: `has these bytes in memory now${why && `, ${why}`}`,
      bytes: memory.bytes.slice(offset, offset + length),
    })
  }
}
