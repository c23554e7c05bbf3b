import { allocateRing, Consumer, cells, Producer } from './internals.js'
import { MockQueue } from './mock-queue.js'

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
export class MockPort extends MockQueue {
  readonly name = 'af_xdp' as const
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
  readonly transmitBell: { ring: () => void; mailbox: Int32Array }
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
    super()
    this.#capacity = capacity
    this.#length = length
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
}
