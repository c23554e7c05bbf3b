import { allocateRing, Consumer, cells, Producer } from './internals.js'

const addressWords = 2
const descriptorWords = 4
/** Indices in {@link allocateRing}'s memory; `records` is the index of the first record. */
const producer = 0
const consumer = 16
const records = 32

/**
 * AF_XDP's rings in plain memory, and a mock kernel that costs next to nothing: it sends frames at once, and delivers as
 * many as requested.
 *
 * For one lap of its rings the mock kernel really moves addresses from ring to ring. From then on the addresses are in
 * place, because a queue that repeats the same operations returns the same frames in the same places; the mock kernel then
 * moves the indices only, and a frame that differs counts as `invalid`. It lies in the queue's own thread, and needs no
 * Atomics.
 */
export class MockPort {
  readonly name = 'af_xdp' as const
  readonly dropped = 0
  readonly zeroCopy = false
  readonly report = Object.freeze({
    ...{ backend: 'af_xdp' as const, zeroCopy: false, receivePath: null, mode: null },
    ...{
      multiBuffer: false,
      sharedMemory: false,
      queueId: null,
      queues: 0,
      fanout: null,
      untold: [],
      notUsed: [],
    },
  })
  readonly syscalls = { receive: 'poll', transmit: 'sendto' }
  readonly describes = false
  readonly scarce = 2 ** 30
  readonly chunkSize = 2048
  readonly longest: Int32Array
  readonly attention = cells(1)
  /** An empty look needs no call: the hint's word stays 0. */
  readonly hint = { words: new Uint32Array(new SharedArrayBuffer(64)), at: cells(1), cell: 0, bits: 1 }
  readonly transmitBell: { ring: () => void; mailbox: Int32Array }
  readonly takesAll = false
  readonly completesOnKick = false
  readonly failing = false
  readonly fill: Producer
  readonly receive: Consumer
  readonly transmit: Producer
  readonly completion: Consumer
  /** Bytes of each received frame. */
  readonly #length: number
  readonly #capacity: number
  #given = 0
  #sent = 0

  constructor(capacity: number, length: number) {
    this.#capacity = capacity
    this.#length = length
    this.longest = cells(1).fill(1514)
    const mailbox = cells(1)
    this.transmitBell = {
      ring: () => {
        mailbox[0] = this.kick()
      },
      mailbox,
    }
    this.fill = new Producer(allocateRing(capacity, addressWords), addressWords)
    this.receive = new Consumer(allocateRing(capacity, descriptorWords), descriptorWords)
    this.transmit = new Producer(allocateRing(capacity, descriptorWords), descriptorWords)
    this.completion = new Consumer(allocateRing(capacity, addressWords), addressWords)
  }

  /** Delivers `count` frames. */
  deliver(count: number): void {
    const { words } = this.receive
    if (this.#given < this.#capacity) {
      for (let i = 0; i < count; i++) {
        const place = (this.#given + i) & (this.#capacity - 1)
        const at = records + place * descriptorWords
        words[at] = this.fill.words[records + place * addressWords]
        words[at + 2] = this.#length
      }
    }
    this.#given = (this.#given + count) | 0
    words[producer] = this.#given
    this.fill.words[consumer] = this.#given
  }

  poll(): number {
    return 0
  }

  kick(): number {
    const { words } = this.transmit
    const end = words[producer] | 0
    if (this.#sent < this.#capacity) {
      for (let i = this.#sent; i < end; i++) {
        const place = i & (this.#capacity - 1)
        this.completion.words[records + place * addressWords] = words[records + place * descriptorWords]
      }
    }
    this.#sent = end
    words[consumer] = end
    this.completion.words[producer] = end
    return 0
  }

  arm(): void {}
  disarm(): void {}
  promiscuous(): void {}
  joinGroup(): void {}
  leaveGroup(): void {}
  statistics({ received, truncated }: { received: number; truncated: number; unwanted: number }) {
    return { received, truncated, drops: {} }
  }
  bufferSizes(): { receive: number; send: number } {
    return { receive: 0, send: 0 }
  }
  close(): void {}
}
