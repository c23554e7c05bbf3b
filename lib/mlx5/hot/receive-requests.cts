import type { HotFill } from '../../ring/hot/parts.js' with { 'resolution-mode': 'import' }
import type { ReceiveRequestParts } from './parts.js' with { 'resolution-mode': 'import' }

/**
 * The end of a receive queue that names free frames, one copy a queue (lib/hot/own-copy.ts). Everything else in a request
 * was written once: a frame's length and key, and the element behind it.
 */
export = function receiveRequests(parts: ReceiveRequestParts): HotFill {
  const { position, setProducerIndex, posted, headroom, base } = parts
  const { view, countShift, strideShift } = parts.ring
  const { addressLow } = parts.fields
  const mask = (1 << countShift) - 1

  function pushAddress(address: number): void {
    const next = position[0]
    position[0] = (next + 1) | 0
    const place = (address + headroom) | 0
    posted[next & mask] = place
    view.setInt32(((next & mask) << strideShift) + addressLow, place + base)
  }

  function publish(): void {
    setProducerIndex(position[0])
  }

  return { pushAddress, publish }
}
