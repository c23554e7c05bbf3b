import { ownCopy } from '../../hot/own-copy.js'
import type { HotConsumer, HotFill } from '../../ring/hot/parts.js'
import { cells } from '../../ring/ring.js'
import type { DirectRing, DirectWorkQueue } from '../direct-ring.js'
import type { ReceiveRequestParts, StridingCompletionParts } from '../hot/parts.js'
import { FrameFields, StridingState } from '../hot/state.js'
import { nextSegment } from '../layout/receive-request.js'
import { dataSegment } from '../layout/send-request.js'
import { receiveMask, recordSetter } from '../record.js'
import { type ReceivingParts, receivedParts } from './received-parts.js'
import { placeOf, ringBytes } from './ring-bytes.js'

export interface StridingQueueParts extends ReceivingParts {
  queue: DirectWorkQueue
  completions: DirectRing
  strideBytes: number
  /** Strides of a request. */
  strides: number
  /** Whether mini completions tell their stride. */
  miniStride: boolean
}

/** The two ends of a striding receive queue: requests that each name a buffer of many frames, and completions. */
export function stridingQueue(parts: StridingQueueParts) {
  const { queue, completions, strideBytes, strides, batch } = parts
  prepare(parts)
  const compileRequests = ownCopy<(parts: ReceiveRequestParts) => HotFill>(
    new URL('../hot/receive-requests.cjs', import.meta.url),
  )
  const compileCompletions = ownCopy<(parts: StridingCompletionParts) => HotConsumer>(
    new URL('../hot/striding-completions.cjs', import.meta.url),
  )
  const posted = cells(queue.count)
  const { bytes } = queue
  const head = nextSegment.length
  const ring = ringBytes(queue)
  const fill = compileRequests({
    fields: FrameFields,
    position: cells(1),
    // The data segment lies behind a next segment.
    ring: { ...ring, view: new DataView(bytes.buffer, bytes.byteOffset + head, bytes.byteLength - head) },
    setProducerIndex: recordSetter(queue.record, receiveMask),
    ...{ posted, headroom: 0, base: parts.base },
  })
  const places = 2 ** Math.ceil(Math.log2(Math.max(queue.count * strides, 2 * (batch + strides))))
  const state = cells(StridingState.words)
  const entryOf = cells(places)
  const receive = compileCompletions({
    ...receivedParts(completions, parts),
    ...{ posted, state, entryOf, StridingState },
    told: cells(places),
    stridesShift: Math.log2(strides),
    strideBytesShift: Math.log2(strideBytes),
    miniStride: parts.miniStride,
  })
  return {
    requests: { ...placeOf(queue), ...fill, hot: () => fill },
    completions: {
      ...placeOf(completions),
      ...receive,
      address: (at: number) => receive.address(at) >>> 0,
      hot: () => receive,
    },
    /** How many entries of the completion queue were taken. */
    entries: () => state[StridingState.read],
    /** Which entry told of a record. */
    entryOf: (at: number) => entryOf[at & (places - 1)],
  }
}

/** Writes what never changes in a request. */
function prepare({ queue, key, strideBytes, strides }: StridingQueueParts): void {
  const { view, count, stride } = queue
  const { byteCount, key: keyOf, address } = dataSegment.fields
  for (let request = 0; request < count; request++) {
    const at = request * stride + nextSegment.length
    view.setUint32(at + byteCount.offset, strideBytes * strides)
    view.setUint32(at + keyOf.offset, key)
    view.setBigUint64(at + address.offset, 0n)
  }
}
