import { ownCopy, plainAccess } from '../../hot/own-copy.js'
import type { HotConsumer, HotProducer } from '../../ring/hot/parts.js'
import { Consumer, cells, Producer } from '../../ring/ring.js'
import type { DirectCompletionQueue, DirectQueuePair, DirectRing } from '../direct.js'
import type { HotCompletions, HotSendRequests, SendCompletionParts, SendRequestParts } from '../hot/parts.js'
import { FrameFields, SendState } from '../hot/state.js'
import { SendMailbox } from '../native.js'
import { consumerMask, recordSetter } from './record.js'
import { layoutOf, memoryWords, ringBytes } from './ring-bytes.js'

/** Frames of a multi-packet request, at most: the six bits of its size count control and Ethernet segment too. */
const mostFrames = 61

/** What the two ends of a send queue share. */
export interface SendQueueParts {
  pair: DirectQueuePair
  completions: DirectCompletionQueue
  mailbox: Int32Array
  /** The arena; its key; and what its offsets need to be the device's addresses. */
  memory: Uint8Array
  key: number
  base: number
  /** Whether several frames go into one request (MLX5_OPCODE_ENHANCED_MPSW). */
  multiPacket: boolean
  /** Bytes of each frame that its request holds: eth_min_inline of the device. */
  inlined: number
  /** Whether the device computes every frame's checksums. */
  checksums: boolean
  /** A request has failed: the bytes of its completion. */
  failed(entry: Uint8Array): void
}

/** The requests of a send queue: Ethernet frames of an arena. */
class SendRequests extends Producer {
  readonly #hot: HotSendRequests

  constructor(pair: DirectQueuePair, hot: HotSendRequests, position: Int32Array<SharedArrayBuffer>) {
    super(memoryWords(pair.send), pair.send.stride / 4, layoutOf(pair.send), position)
    this.#hot = hot
  }

  override hot(): HotProducer {
    return this.#hot
  }

  /** @param options 1: the device computes this frame's checksums */
  override write(address: number, length: number, options: number): void {
    if (options === 0) this.#hot.push(address, length)
    else this.#hot.write(address, length, FrameFields.bothChecksums)
  }

  override publish(): void {
    this.#hot.publish()
  }

  override outstanding(): number {
    return this.#hot.outstanding()
  }

  override room(): number {
    return this.#hot.room()
  }
}

/** The frames of a send queue that are done: a record is a frame. */
class SendCompletions extends Consumer {
  readonly #hot: HotCompletions
  readonly #errno: (frame: number) => number

  constructor(
    queue: DirectCompletionQueue,
    hot: HotCompletions,
    position: Int32Array<SharedArrayBuffer>,
    errno: (frame: number) => number,
  ) {
    super(memoryWords(queue), queue.stride / 4, layoutOf(queue), position)
    this.#hot = hot
    this.#errno = errno
  }

  override hot(): HotConsumer {
    return this.#hot
  }

  override available(): number {
    return this.#hot.available()
  }

  override at(ahead: number): number {
    return this.#hot.at(ahead)
  }

  override address(at: number): number {
    return this.#hot.address(at)
  }

  override status(at: number): number {
    return this.#errno(at)
  }

  override consume(count: number): void {
    this.#hot.consume(count)
  }
}

/**
 * The two ends of a send queue of frames, which share what was sent.
 *
 * @param errno of a frame that was not sent
 * @returns `entries()` tells how many entries of the completion queue were taken
 */
export function sendQueue(
  parts: SendQueueParts,
  errno: number,
): { requests: Producer; completions: Consumer; entries: () => number } {
  const { pair, completions, mailbox } = parts
  const { count } = pair.send
  const state = cells(SendState.words)
  mailbox[SendMailbox.completed] = 0
  const shared = {
    plain: plainAccess,
    state,
    mailbox,
    // Four segments to a block, and each request has two more.
    sent: new Uint32Array(cells(count * 4).buffer),
    framesAt: cells(count),
    blockBehind: cells(count),
    fields: FrameFields,
    SendState,
    SendMailbox,
  }
  const sentPosition = cells(1)
  const compileRequests = ownCopy<(parts: SendRequestParts) => HotSendRequests>(
    new URL('../hot/send-requests.cjs', import.meta.url),
  )
  const hotRequests = compileRequests({
    ...shared,
    position: sentPosition,
    ring: ringBytes(pair.send),
    number: pair.number << 8,
    key: bigEndian(parts.key),
    keys: wordsFrom(pair.send, FrameFields.key),
    addressHighs: wordsFrom(pair.send, FrameFields.addressHigh),
    addressLows: viewFrom(pair.send, FrameFields.addressLow),
    checksums: parts.checksums ? FrameFields.bothChecksums : 0,
    mostFrames: parts.multiPacket ? Math.min(mostFrames, count) : 1,
    inlined: parts.inlined,
    memory: parts.memory,
    base: parts.base,
  })
  /** The number of the first frame whose request failed; those after it fail too. */
  let firstFailed: number | undefined
  const donePosition = cells(1)
  const compileCompletions = ownCopy<(parts: SendCompletionParts) => HotCompletions>(
    new URL('../hot/send-completions.cjs', import.meta.url),
  )
  const hotCompletions = compileCompletions({
    ...shared,
    position: donePosition,
    ring: ringBytes(completions),
    setConsumerIndex: recordSetter(completions.record, consumerMask),
    failed: (at, from) => {
      firstFailed ??= from
      parts.failed(completions.bytes.slice(at, at + 64))
    },
  })
  const failure = (frame: number) =>
    firstFailed !== undefined && ((frame - firstFailed) | 0) >= 0 ? errno : 0
  return {
    requests: new SendRequests(pair, hotRequests, sentPosition),
    completions: new SendCompletions(completions, hotCompletions, donePosition, failure),
    entries: () => state[SendState.entries],
  }
}

/** A ring's words from this byte on. */
function wordsFrom({ bytes }: DirectRing, offset: number): Int32Array {
  return new Int32Array(bytes.buffer, bytes.byteOffset + offset, (bytes.byteLength - offset) >> 2)
}

function viewFrom({ bytes }: DirectRing, offset: number): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset + offset, bytes.byteLength - offset)
}

/** A number as a word in a ring. */
function bigEndian(value: number): number {
  const word = new Int32Array(1)
  new DataView(word.buffer).setUint32(0, value)
  return word[0]
}
