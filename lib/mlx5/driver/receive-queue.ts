import { ownCopy, plainAccess } from '../../hot/own-copy.js'
import type { HotConsumer, HotProducer } from '../../ring/hot/parts.js'
import { Consumer, cells, Producer } from '../../ring/ring.js'
import type { DirectCompletionQueue, DirectQueuePair } from '../direct.js'
import type { HotCompletions, ReceiveCompletionParts, ReceiveRequestParts } from '../hot/parts.js'
import { FrameFields, ReceiveState } from '../hot/state.js'
import { frameCqe } from '../layout/completion.js'
import { dataSegment } from '../layout/send-request.js'
import { consumerMask, receiveMask, recordSetter } from './record.js'
import { layoutOf, memoryWords, ringBytes } from './ring-bytes.js'

/** Memory that a receive names. */
export interface Element {
  address: bigint
  length: number
  key: number
}

export interface ReceiveQueueParts {
  pair: DirectQueuePair
  completions: DirectCompletionQueue
  /** Key of the arena, and what its offsets need to be the device's addresses. */
  key: number
  base: number
  /** Bytes of each frame's place that are left free, and the bytes behind them that the device may write. */
  headroom: number
  room: number
  /** Where the rest of a frame goes that is longer than its place. */
  overflow: Element
  /** The most frames that a look finds. */
  batch: number
  checksumValid: number
  /** A request has failed: the bytes of its completion. */
  failed(entry: Uint8Array): void
}

/** The requests of a receive queue: each a free frame's place, and the overflow behind it. */
class ReceiveRequests extends Producer {
  readonly #hot: HotProducer

  constructor(pair: DirectQueuePair, hot: HotProducer, position: Int32Array<SharedArrayBuffer>) {
    super(memoryWords(pair.receive), pair.receive.stride / 4, layoutOf(pair.receive), position)
    this.#hot = hot
  }

  override hot(): HotProducer {
    return this.#hot
  }

  override pushAddress(address: number): void {
    this.#hot.pushAddress(address)
  }

  override publish(): void {
    this.#hot.publish()
  }
}

/** Received frames. */
export class ReceiveCompletions extends Consumer {
  readonly #queue: DirectCompletionQueue
  readonly #hot: HotCompletions

  constructor(queue: DirectCompletionQueue, hot: HotCompletions, position: Int32Array<SharedArrayBuffer>) {
    super(memoryWords(queue), queue.stride / 4, layoutOf(queue), position)
    this.#queue = queue
    this.#hot = hot
  }

  /** When the frame came, in cycles of the device's clock; of a compressed completion it is the title's. */
  timestamp(at: number): bigint {
    const { view, count, stride } = this.#queue
    const entry = ((at & (count - 1)) + 1) * stride - frameCqe.length
    return view.getBigUint64(entry + frameCqe.fields.timestamp.offset)
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
    return this.#hot.address(at) >>> 0
  }

  override length(at: number): number {
    return this.#hot.length(at) >>> 0
  }

  override more(at: number): boolean {
    return this.#hot.more(at)
  }

  override flags(at: number): number {
    return this.#hot.flags(at)
  }

  override consume(count: number): void {
    this.#hot.consume(count)
  }
}

/** The two ends of a receive queue of frames. */
export function receiveQueue(parts: ReceiveQueueParts): {
  requests: Producer
  completions: ReceiveCompletions
} {
  const { pair, completions } = parts
  prepare(parts)
  const requests = ringBytes(pair.receive)
  const requested = cells(1)
  const posted = cells(pair.receive.count)
  const compileRequests = ownCopy<(parts: ReceiveRequestParts) => HotProducer>(
    new URL('../hot/receive-requests.cjs', import.meta.url),
  )
  const hotRequests = compileRequests({
    plain: plainAccess,
    fields: FrameFields,
    position: requested,
    ring: requests,
    setProducerIndex: recordSetter(pair.receive.record, receiveMask),
    ...{ posted, headroom: parts.headroom, base: parts.base },
  })
  const taken = cells(1)
  const compileCompletions = ownCopy<(parts: ReceiveCompletionParts) => HotCompletions>(
    new URL('../hot/receive-completions.cjs', import.meta.url),
  )
  const hotCompletions = compileCompletions({
    plain: plainAccess,
    fields: FrameFields,
    position: taken,
    ring: ringBytes(completions),
    setConsumerIndex: recordSetter(completions.record, consumerMask),
    posted,
    told: cells(completions.count),
    state: cells(ReceiveState.words),
    most: parts.batch,
    checksumValid: parts.checksumValid,
    failed: (at) => parts.failed(completions.bytes.slice(at, at + 64)),
    ReceiveState,
  })
  return {
    requests: new ReceiveRequests(pair, hotRequests, requested),
    completions: new ReceiveCompletions(completions, hotCompletions, taken),
  }
}

/** Writes what never changes in a request. */
function prepare({ pair, key, room, overflow }: ReceiveQueueParts): void {
  const { view, count, stride } = pair.receive
  const { byteCount, key: keyOf, address } = dataSegment.fields
  const write = (at: number, element: Element) => {
    view.setUint32(at + byteCount.offset, element.length)
    view.setUint32(at + keyOf.offset, element.key)
    view.setBigUint64(at + address.offset, element.address)
  }
  for (let request = 0; request < count; request++) {
    write(request * stride, { address: 0n, length: room, key })
    write(request * stride + dataSegment.length, overflow)
  }
}
