import type { HotProducer, RingParts } from './parts.js' with { 'resolution-mode': 'import' }

/** The end of a ring that writes records in AF_XDP's formats, one copy a ring (lib/hot/own-copy.ts). */
export = function hotProducer(parts: RingParts): HotProducer {
  const { plain } = parts
  const { words, position, mask, records, recordShift, producer, consumer } = parts.ring
  const capacity = mask + 1
  const { addressHigh: highAt, length: lengthAt, options: optionsAt } = parts.DescriptorRecord

  function index(): number {
    return position[0]
  }

  function push(address: number, length: number): void {
    const next = position[0]
    const at = (records + ((next & mask) << recordShift)) | 0
    position[0] = (next + 1) | 0
    words[at] = address
    words[at + highAt] = 0
    words[at + lengthAt] = length
    words[at + optionsAt] = 0
  }

  function pushAddress(address: number): void {
    const next = position[0]
    position[0] = (next + 1) | 0
    // The upper half of the address stays zero, as allocated.
    words[(records + ((next & mask) << recordShift)) | 0] = address
  }

  function publish(): void {
    if (plain) words[producer] = position[0]
    else Atomics.store(words, producer, position[0])
  }

  function allTaken(): boolean {
    const taken = plain ? words[consumer] : Atomics.load(words, consumer)
    return (taken | 0) === position[0]
  }

  function room(): number {
    return capacity
  }

  return { index, push, pushAddress, publish, allTaken, room }
}
