import { ownCopy } from '../../hot/own-copy.js'
import type { HotConsumer, HotFill } from '../../ring/hot/parts.js'
import { cells } from '../../ring/ring.js'
import type { DirectQueuePair, DirectRing } from '../direct-ring.js'
import type { ReceiveCompletionParts, ReceiveRequestParts } from '../hot/parts.js'
import { FrameFields, ReceiveState } from '../hot/state.js'
import { dataSegment } from '../layout/send-request.js'
import { receiveMask, recordSetter } from '../record.js'
import { type ReceivingParts, receivedParts } from './received-parts.js'
import { placeOf, ringBytes } from './ring-bytes.js'

/** Memory that a receive names. */
export interface Element {
  address: bigint
  length: number
  key: number
}

export interface ReceiveQueueParts extends ReceivingParts {
  pair: DirectQueuePair
  completions: DirectRing
  /** Bytes of each frame's place that are left free, and the bytes behind them that the device may write. */
  headroom: number
  room: number
  /** Where the rest of a frame goes that is longer than its place. */
  overflow: Element
}

/** The two ends of a receive queue of frames: requests that each name a free frame's place, and completions. */
export function receiveQueue(parts: ReceiveQueueParts) {
  const { pair, completions } = parts
  prepare(parts)
  const compileRequests = ownCopy<(parts: ReceiveRequestParts) => HotFill>(
    new URL('../hot/receive-requests.cjs', import.meta.url),
  )
  const compileCompletions = ownCopy<(parts: ReceiveCompletionParts) => HotConsumer>(
    new URL('../hot/receive-completions.cjs', import.meta.url),
  )
  const posted = cells(pair.receive.count)
  const fill = compileRequests({
    fields: FrameFields,
    position: cells(1),
    ring: ringBytes(pair.receive),
    setProducerIndex: recordSetter(pair.receive.record, receiveMask),
    ...{ posted, headroom: parts.headroom, base: parts.base },
  })
  const shared = receivedParts(completions, parts)
  const receive = compileCompletions({
    ...shared,
    posted,
    told: cells(completions.count),
    state: cells(ReceiveState.words),
    ReceiveState,
  })
  return {
    requests: { ...placeOf(pair.receive), ...fill, hot: () => fill },
    completions: {
      ...placeOf(completions),
      ...receive,
      address: (at: number) => receive.address(at) >>> 0,
      hot: () => receive,
    },
    /** How many entries of the completion queue were taken. */
    entries: () => shared.position[0],
    /** Which entry told of a record: each has its own. */
    entryOf: (at: number) => at,
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
