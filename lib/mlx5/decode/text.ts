/** A decoded entry as text. */
import { type DecodedEntry, type DecodedField, type DecodedSegment, hexBytes } from './entry.js'

/** How parts of the text are set off, such as by colours. */
export interface Paint {
  title(text: string): string
  value(text: string): string
  quiet(text: string): string
}

const plain: Paint = { title: String, value: String, quiet: String }
const perLine = 16

/** Where in a structure of C a field lies, such as 'qpn_ds[31:8]'. */
export function placeOf({ member, high, low, length }: DecodedField): string {
  if (high === length * 8 - 1 && low === 0) return member
  return high === low ? `${member}[${high}]` : `${member}[${high}:${low}]`
}

/** The fields that say more than the bytes above them. */
export const namedFields = (fields: readonly DecodedField[]) =>
  fields.filter(({ value }) => !(value instanceof Uint8Array) || value.length < perLine)

/** Bytes, sixteen to a line, with their offsets and as characters. */
export function bytesText(bytes: Uint8Array, paint = plain, from = 0): string[] {
  const lines: string[] = []
  for (let at = 0; at < bytes.length; at += perLine) {
    const line = bytes.subarray(at, at + perLine)
    const characters = String.fromCharCode(...line).replace(/[^ -~]/g, '.')
    const place = String(from + at).padStart(4)
    lines.push(paint.quiet(`   ${place}: ${hexBytes(line).padEnd(perLine * 3 - 1)}  ${characters}`))
  }
  return lines
}

function segmentText(segment: DecodedSegment, bytes: Uint8Array, paint: Paint): string[] {
  const { title, struct, offset, length, fields } = segment
  const named = namedFields(fields)
  const names = Math.max(...named.map(({ name }) => name.length), 0)
  const texts = Math.max(...named.map(({ text }) => text.length), 0)
  return [
    `   ${paint.title(title)} ${paint.quiet(`struct ${struct}`)}`,
    ...bytesText(bytes.subarray(offset, offset + length), paint, offset),
    ...named.map(
      (field) =>
        `         ${field.name.padEnd(names)}  ${paint.value(field.text.padEnd(texts))}  ${paint.quiet(placeOf(field))}`,
    ),
  ]
}

/** {@link formatEntry}, line by line. @internal */
export function entryText(entry: DecodedEntry, paint = plain): string[] {
  return [
    `   ${entry.title}`,
    ...('explanation' in entry && entry.explanation ? [`   ${entry.explanation}`] : []),
    ...entry.segments.flatMap((segment) => segmentText(segment, entry.bytes, paint)),
  ]
}

/**
 * All of an entry that a decoder returned: of each segment the bytes, and a line for each field with its name, its value, and
 * where it lies in the structure of C. Of an error completion its explanation, too.
 */
export function formatEntry(entry: DecodedEntry): string {
  return entryText(entry).join('\n')
}
