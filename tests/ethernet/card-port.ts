/**
 * A mock of a card's rings, which no device here has, in the ring vocabulary (lib/ring/ring.ts). It stands for what a
 * ConnectX does otherwise than the kernel: completions that hold no address, one for several received frames
 * (compressed), one for all sends before it (multi-packet sends), buffers that several received frames share (striding),
 * and events only for who armed them.
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

/** Bytes of a place in a buffer: a frame of the arena. */
const stride = 2048
/** In an entry's length: the frame goes on in the next place. */
const continued = 1 << 16

/**
 * Entries: how many frames, and the length of each. A frame lies in the next place of the buffers in the fill ring; one
 * of length 0 is a place that stayed unused.
 */
class CompressedCompletions extends Consumer {
  readonly #fill: Producer
  readonly #framesPerBuffer: number
  /** By frame, modulo the capacity: what the entries say. */
  readonly #lengths: Uint32Array
  /** Frames that the entries read so far stand for, and those taken of them. */
  #told = 0
  #taken = 0
  /** By entry read and not handed back: the number of its last frame + 1. */
  readonly #ends: number[] = []
  #read = 0

  constructor(capacity: number, fill: Producer, framesPerBuffer: number) {
    super(allocateRing(capacity, 2), 2)
    this.#fill = fill
    this.#framesPerBuffer = framesPerBuffer
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
    const buffer = Math.floor(at / this.#framesPerBuffer) & this.#fill.mask
    const first = this.#fill.words[records + buffer * AddressRecord.words]
    return first + (at % this.#framesPerBuffer) * stride
  }

  override length(at: number): number {
    return this.#lengths[at & this.mask] & ~continued
  }

  override more(at: number): boolean {
    return (this.#lengths[at & this.mask] & continued) !== 0
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
      more: (at) => this.more(at),
      flags: () => 0,
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
  readonly chunkSize = stride
  readonly longest = cells(1).fill(1514)
  readonly takesAll = false
  readonly completesOnKick = false
  readonly dropped = 0
  readonly failing = false
  readonly fill: Producer
  readonly framesPerBuffer: number
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

  constructor(capacity: number, onEvent: () => void, framesPerBuffer = 1) {
    this.#onEvent = onEvent
    this.framesPerBuffer = framesPerBuffer
    this.fill = new Producer(allocateRing(capacity, AddressRecord.words), AddressRecord.words)
    this.receive = new CompressedCompletions(capacity, this.fill, framesPerBuffer)
    const transmit = allocateRing(capacity, DescriptorRecord.words)
    this.transmit = new Producer(transmit, DescriptorRecord.words)
    this.completion = new Consumer(transmit, DescriptorRecord.words, {
      ...{ producer: done, consumer: done + 4 },
      ...{ records, capacity: this.transmit.layout.capacity },
    })
  }

  /** How many places the posted buffers have for frames. */
  get ready(): number {
    return this.fill.words[producer] * this.framesPerBuffer - this.#delivered
  }

  /** How many places are left in the buffer that is in use. */
  get leftInBuffer(): number {
    return -this.#delivered & (this.framesPerBuffer - 1)
  }

  /** Receives a frame of two places, which lie in one buffer: what is left of the one in use is passed over. */
  deliverLong(length: number): void {
    if (this.leftInBuffer === 1) this.deliver(1, 0)
    this.deliver(1, stride | continued)
    this.deliver(1, length - stride)
  }

  /** Receives `count` frames of `length` bytes, told by one completion. */
  deliver(count: number, length: number): void {
    const { words, mask } = this.receive
    if (count > this.ready) throw new Error(`${this.ready} places for ${count} frames`)
    words.set([count, length], records + (words[producer] & mask) * 2)
    this.#delivered += count
    this.fill.words[consumer] = Math.floor(this.#delivered / this.framesPerBuffer)
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
