/** A decoded entry as text. */
import type { DecodedEntry, DecodedField, DecodedSegment } from './entry.js'

/** Where in a structure of C a field lies, such as 'qpn_ds[31:8]'. */
export function placeOf({ member, high, low, length }: DecodedField): string {
  if (high === length * 8 - 1 && low === 0) return member
  return high === low ? `${member}[${high}]` : `${member}[${high}:${low}]`
}

const hexOf = (bytes: Uint8Array) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ')

function segmentText({ title, struct, offset, length, fields }: DecodedSegment, bytes: Uint8Array): string[] {
  const width = Math.max(...fields.map(({ name }) => name.length))
  const lines = [`  ${title} (struct ${struct}), bytes ${offset}–${offset + length - 1}`]
  for (let at = offset; at < offset + length; at += 16) {
    lines.push(
      `    ${String(at).padStart(4)}: ${hexOf(bytes.subarray(at, Math.min(at + 16, offset + length)))}`,
    )
  }
  for (const field of fields) {
    if (field.value instanceof Uint8Array && field.name === 'bytes') continue
    lines.push(`    ${field.name.padEnd(width)}  ${field.text}  — ${placeOf(field)}`)
  }
  return lines
}

/**
 * All of an entry, a line for each field: its name, its value, and where it lies in the structure of C; above each segment's
 * fields its bytes.
 */
export function formatEntry(entry: DecodedEntry): string {
  return [entry.title, ...entry.segments.flatMap((segment) => segmentText(segment, entry.bytes))].join('\n')
}
