import type { RecordParts } from './parts.js' with { 'resolution-mode': 'import' }

/** Writes a word of a doorbell record, one copy a record (lib/hot/own-copy.ts): an index, big-endian, as wide as the mask. */
export = function setRecord(parts: RecordParts): (index: number) => void {
  const { plain, record, mask } = parts
  const view = new parts.DataView(record.buffer, record.byteOffset, 4)

  return function set(index: number): void {
    const value = index & mask
    if (plain) {
      view.setInt32(0, value)
    } else {
      const low = ((value & 0xff) << 24) | ((value & 0xff00) << 8)
      Atomics.store(record, 0, low | ((value >>> 8) & 0xff00) | (value >>> 24))
    }
  }
}
