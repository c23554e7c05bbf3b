import type { HotProducer } from '../../ring/hot/parts.js' with { 'resolution-mode': 'import' }
import type { ReceiveRequestParts } from './parts.js' with { 'resolution-mode': 'import' }

/**
 * The end of a receive queue that names free frames, one copy a queue (lib/hot/own-copy.ts). Everything else in a request
 * was written once: a frame's length and key, and the element behind it.
 */
export = function receiveRequests(parts: ReceiveRequestParts): HotProducer {
  const { position, setProducerIndex, posted, headroom, base } = parts
  const { view, countShift, strideShift } = parts.ring
  const { addressLow } = parts.fields
  const capacity = 1 << countShift
  const mask = capacity - 1

  function index(): number {
    return position[0]
  }

  function pushAddress(address: number): void {
    const next = position[0]
    position[0] = (next + 1) | 0
    const place = (address + headroom) | 0
    posted[next & mask] = place
    view.setInt32(((next & mask) << strideShift) + addressLow, place + base)
  }

  function push(address: number): void {
    pushAddress(address)
  }

  function publish(): void {
    setProducerIndex(position[0])
  }

  function allTaken(): boolean {
    return true
  }

  function room(): number {
    return capacity
  }

  return { index, push, pushAddress, publish, allTaken, room }
}
