import type { HotConsumer, RingParts } from './parts.js' with { 'resolution-mode': 'import' }

/** The end of a ring that reads records in AF_XDP's formats, one copy a ring (lib/hot/own-copy.ts). */
export = function hotConsumer(parts: RingParts): HotConsumer {
  const { plain } = parts
  const { words, position, mask, records, recordShift, producer, consumer } = parts.ring
  const { length: lengthAt, options: optionsAt } = parts.DescriptorRecord
  const { continued } = parts.DescriptorOption
  const capacity = mask + 1

  function available(): number {
    const produced = plain ? words[producer] : Atomics.load(words, producer)
    const count = (produced - position[0]) | 0
    return count > 0 && count <= capacity ? count : 0
  }

  function at(ahead: number): number {
    return (records + (((position[0] + ahead) & mask) << recordShift)) | 0
  }

  function address(at: number): number {
    return words[at] | 0
  }

  function length(at: number): number {
    return words[at + lengthAt] | 0
  }

  function more(at: number): boolean {
    return (words[at + optionsAt] & continued) !== 0
  }

  function flags(): number {
    return 0
  }

  function consume(count: number): void {
    const next = (position[0] + count) | 0
    position[0] = next
    if (plain) words[consumer] = next
    else Atomics.store(words, consumer, next)
  }

  return { available, at, address, length, more, flags, consume }
}
