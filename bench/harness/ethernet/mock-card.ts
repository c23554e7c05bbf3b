import { cells, receiveQueue, SendMailbox, sendQueue } from './internals.js'
import { MockQueue } from './mock-queue.js'

/** Bytes of an entry of a completion queue, and of a receive request with two elements. */
const entryBytes = 64
const requestBytes = 32
const ownerWord = 15
/** Opcode and owner bit of an entry of the first lap: RESP_SEND, REQ. */
const received = 2 << 28

const swap16 = (value: number) => ((value & 0xff) << 8) | ((value >>> 8) & 0xff)

function ring(count: number, stride: number) {
  const buffer = new SharedArrayBuffer(count * stride)
  const record = new Int32Array(new SharedArrayBuffer(64), 0, 1)
  return { bytes: new Uint8Array(buffer), view: new DataView(buffer), stride, count, record }
}

/** A completion queue: all entries belong to the device. */
function completions(count: number) {
  const entries = ring(count, entryBytes)
  for (let i = 0; i < count; i++) entries.bytes[i * entryBytes + entryBytes - 1] = 0xf0
  return entries as never
}

/**
 * The rings of a ConnectX in plain memory, under the package's driver, and a mock card that costs next to nothing: it
 * completes each hand-over at once, and delivers as many frames as requested into the requests in their order. It lies in the
 * queue's own thread. The doorbell is a function in JavaScript: a native one is not part of this cost.
 */
export class MockCard extends MockQueue {
  readonly name = 'mlx5' as const
  readonly zeroCopy = true
  readonly report = { backend: this.name } as never
  readonly syscalls = { receive: 'ibverbs/mlx5', transmit: 'ibverbs/mlx5' }
  readonly transmitBell: { ring: () => void; mailbox: Int32Array }
  readonly fill: ReturnType<typeof receiveQueue>['requests']
  readonly receive: ReturnType<typeof receiveQueue>['completions']
  readonly transmit: ReturnType<typeof sendQueue>['requests']
  readonly completion: ReturnType<typeof sendQueue>['completions']
  readonly #entries: Int32Array
  readonly #count: number
  #given = 0

  constructor(count: number, length: number, batch: number, memory: Uint8Array, multiPacket: boolean) {
    super()
    this.#count = count
    const [sends, receives] = [ring(count, 64), ring(count, requestBytes)]
    const [sent, incoming] = [completions(count), completions(count)]
    const pair = { send: sends, receive: receives, number: 7, blueFlame: 256 } as never
    const mailbox = cells(SendMailbox.words)
    const failed = (): never => {
      throw new Error('a completion tells of an error')
    }
    const common = { pair, key: 1, base: 0, failed }
    const sending = sendQueue({
      ...{ ...common, completions: sent, mailbox, memory, multiPacket },
      ...{ inlined: 0, checksums: false },
    })
    const overflow = { address: 0n, length: 1, key: 1 }
    const receiving = receiveQueue({
      ...{ ...common, completions: incoming, batch, overflow },
      ...{ headroom: 0, room: 2048, checksumValid: 4 },
    })
    this.transmit = sending.requests
    this.completion = sending.completions
    this.fill = receiving.requests
    this.receive = receiving.completions
    this.#entries = new Int32Array((incoming as { bytes: Uint8Array }).bytes.buffer)
    for (let i = 0; i < count; i++)
      (incoming as { view: DataView }).view.setInt32(i * entryBytes + 44, length)
    const done = new Int32Array((sent as { bytes: Uint8Array }).bytes.buffer)
    const shift = Math.log2(count)
    const mask = count - 1
    const { status, rung, producer, last } = SendMailbox
    let told = 0
    this.transmitBell = {
      ring: () => {
        mailbox[status] = 0
        mailbox[rung] = mailbox[producer]
        const owner = (told >>> shift) & 1
        done[((told & mask) << 4) + ownerWord] = (owner << 24) | swap16(mailbox[last])
        told = (told + 1) | 0
      },
      mailbox,
    }
  }

  /** Delivers `count` frames. */
  deliver(count: number): void {
    const mask = this.#count - 1
    for (let i = 0; i < count; i++) {
      const given = (this.#given + i) | 0
      const owner = given & this.#count ? 1 << 24 : 0
      this.#entries[((given & mask) << 4) + ownerWord] = received | owner | swap16(given & 0xffff)
    }
    this.#given = (this.#given + count) | 0
  }

  kick(): number {
    this.transmitBell.ring()
    return 0
  }
}
