/**
 * A mock of a card's rings, which no device here has, in the ring vocabulary (lib/ring/ring.ts). It stands for what a
 * ConnectX does otherwise than the kernel: completions that hold no address, one for several received frames
 * (compressed), one for all sends before it (multi-packet sends), and events only for who armed them.
 */
import type { Port } from '../../dist/ethernet/port.js'
import type { HotConsumer } from '../../dist/ring/hot/parts.js'
import {
  AddressRecord,
  allocateRing,
  Consumer,
  cells,
  DescriptorRecord,
  Producer,
} from '../../dist/ring/ring.js'

const producer = 0
const consumer = 16
const records = 32
/** Where the card says how far sends are done, in the transmit ring's memory. */
const done = 24

/** Entries: how many frames, and the length of each. A frame lies in the next buffer of the fill ring. */
class CompressedCompletions extends Consumer {
  readonly #fill: Producer
  /** By frame, modulo the capacity: what the entries say. */
  readonly #lengths: Uint32Array
  /** Frames that the entries read so far stand for, and those taken of them. */
  #told = 0
  #taken = 0
  /** By entry read and not handed back: the number of its last frame + 1. */
  readonly #ends: number[] = []
  #read = 0

  constructor(capacity: number, fill: Producer) {
    super(allocateRing(capacity, 2), 2)
    this.#fill = fill
    this.#lengths = new Uint32Array(capacity)
  }

  override available(): number {
    const produced = Atomics.load(this.words, producer)
    for (; this.#read !== produced; this.#read++) {
      const entry = records + (this.#read & this.mask) * 2
      for (let i = this.words[entry]; i > 0; i--)
        this.#lengths[this.#told++ & this.mask] = this.words[entry + 1]
      this.#ends.push(this.#told)
    }
    return this.#told - this.#taken
  }

  override at(ahead: number): number {
    return this.#taken + ahead
  }

  override address(at: number): number {
    return this.#fill.words[records + (at & this.#fill.mask) * AddressRecord.words]
  }

  override length(at: number): number {
    return this.#lengths[at & this.mask]
  }

  override more(): boolean {
    return false
  }

  override consume(count: number): void {
    this.#taken += count
    let entries = 0
    while (this.#ends[entries] <= this.#taken) entries++
    this.#ends.splice(0, entries)
    this.words[consumer] += entries
  }

  override hot(): HotConsumer {
    return {
      available: () => this.available(),
      at: (ahead) => this.at(ahead),
      address: (at) => this.address(at),
      length: (at) => this.length(at),
      more: () => false,
      consume: (count) => this.consume(count),
    }
  }
}

export class CardPort implements Port {
  readonly name = 'raw_packet_qp'
  readonly zeroCopy = true
  readonly report = { backend: this.name } as Port['report']
  readonly syscalls = { receive: 'receive', transmit: 'transmit' }
  readonly describes = false
  readonly scarce = 2 ** 30
  readonly attention = cells(1)
  readonly chunkSize = 2048
  readonly longest = cells(1).fill(1514)
  readonly takesAll = false
  readonly completesOnKick = false
  readonly dropped = 0
  readonly failing = false
  readonly fill: Producer
  readonly receive: CompressedCompletions
  readonly transmit: Producer
  readonly completion: Consumer
  /** The lengths of the frames in each hand-over: a multi-packet send. */
  readonly sent: number[][] = []
  armed = 0
  events = 0
  /** Called just before an arming takes effect. */
  beforeArming = (): void => {}
  readonly #onEvent: () => void
  #awaited = false
  #delivered = 0
  #taken = 0

  constructor(capacity: number, onEvent: () => void) {
    this.#onEvent = onEvent
    this.fill = new Producer(allocateRing(capacity, AddressRecord.words), AddressRecord.words)
    this.receive = new CompressedCompletions(capacity, this.fill)
    const transmit = allocateRing(capacity, DescriptorRecord.words)
    this.transmit = new Producer(transmit, DescriptorRecord.words)
    this.completion = new Consumer(transmit, DescriptorRecord.words, {
      ...{ producer: done, consumer: done + 4 },
      ...{ records, capacity: this.transmit.layout.capacity },
    })
  }

  /** Receives `count` frames of `length` bytes, told by one completion. */
  deliver(count: number, length: number): void {
    const { words, mask } = this.receive
    const ready = this.fill.words[producer] - this.#delivered
    if (count > ready) throw new Error(`${ready} buffers for ${count} frames`)
    words.set([count, length], records + (words[producer] & mask) * 2)
    this.#delivered += count
    this.fill.words[consumer] = this.#delivered
    Atomics.store(words, producer, words[producer] + 1)
    if (!this.#awaited) return
    this.#awaited = false
    this.events++
    setImmediate(this.#onEvent)
  }

  /** Tells by one completion that all frames handed over so far are sent. */
  complete(): void {
    this.transmit.words[done] = this.#taken
  }

  poll(): number {
    return this.receive.available()
  }

  kick(): number {
    const { words, mask } = this.transmit
    const lengths: number[] = []
    for (; this.#taken !== words[producer]; this.#taken++) {
      lengths.push(words[records + (this.#taken & mask) * DescriptorRecord.words + DescriptorRecord.length])
    }
    words[consumer] = this.#taken
    if (lengths.length > 0) this.sent.push(lengths)
    return 0
  }

  /** A frame that came before the arming raises no event: the card says so at once. */
  arm(readable: boolean): void {
    this.armed++
    this.beforeArming()
    this.#awaited = readable
    if (readable && this.receive.available() > 0) setImmediate(this.#onEvent)
  }

  disarm(): void {
    this.#awaited = false
  }

  promiscuous(): void {}
  joinGroup(): void {}
  leaveGroup(): void {}
  statistics({ received, truncated }: { received: number; truncated: number }) {
    return { received, truncated, drops: {} }
  }
  bufferSizes() {
    return { receive: 0, send: 0 }
  }
  close(): void {}
}
