/** A conversation as text. */
import { placeOf } from '../../mlx5/decode/text.js'
import type { DecodedEntry, DecodedField, DecodedSegment } from '../../mlx5/index.js'
import { frameText } from '../frame/frame-text.js'
import type { Style } from '../style.js'
import type { Conversation, Step } from './conversation.js'
import { roceText } from './roce-text.js'

const perLine = 16

const hexOf = (bytes: Uint8Array) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ')
const printable = (bytes: Uint8Array) => String.fromCharCode(...bytes).replace(/[^ -~]/g, '.')

export function conversationText(conversation: Conversation, style: Style): string {
  const { device, kind, steps } = conversation
  const head = `${kind === 'frame' ? 'a frame' : `an RC ${kind}`} on ${device}, byte by byte`
  return [style.bold(head), ...steps.flatMap((step, i) => ['', ...stepText(step, i + 1, style)])].join('\n')
}

function stepText(step: Step, number: number, style: Style): string[] {
  const { side, title, entry, before, bytes } = step
  const lines = [`${style.bold(`${number}. ${side}`)} ${title}`]
  if (bytes) {
    if (side === 'wire') {
      const roce = roceText(bytes)
      lines.push(`   ${frameText(bytes, { link: true })}`, ...(roce === undefined ? [] : [`   ${roce}`]))
    }
    lines.push(...dump(bytes, style))
  }
  if (entry && before) lines.push(...changeText(before, entry, style))
  else if (entry) lines.push(...entryText(entry, style))
  return lines
}

function dump(bytes: Uint8Array, style: Style, from = 0): string[] {
  const lines: string[] = []
  for (let at = 0; at < bytes.length; at += perLine) {
    const line = bytes.subarray(at, at + perLine)
    const width = perLine * 3 - 1
    lines.push(
      style.dim(`   ${String(from + at).padStart(4)}: ${hexOf(line).padEnd(width)}  ${printable(line)}`),
    )
  }
  return lines
}

function entryText(entry: DecodedEntry, style: Style): string[] {
  return [
    `   ${entry.title}`,
    ...('explanation' in entry && entry.explanation ? [`   ${entry.explanation}`] : []),
    ...entry.segments.flatMap((segment) => segmentText(segment, entry.bytes, style)),
  ]
}

function segmentText(segment: DecodedSegment, bytes: Uint8Array, style: Style): string[] {
  const { title, struct, offset, length, fields } = segment
  const named = fields.filter(({ value }) => !(value instanceof Uint8Array) || value.length < perLine)
  const names = Math.max(...named.map(({ name }) => name.length), 0)
  const texts = Math.max(...named.map(({ text }) => text.length), 0)
  return [
    `   ${style.bold(title)} ${style.dim(`struct ${struct}`)}`,
    ...dump(bytes.subarray(offset, offset + length), style, offset),
    ...named.map(
      (field) =>
        `         ${field.name.padEnd(names)}  ${style.green(field.text.padEnd(texts))}  ${style.dim(placeOf(field))}`,
    ),
  ]
}

/** The fields of a doorbell record that the step changed. */
function changeText(before: DecodedEntry, after: DecodedEntry, style: Style): string[] {
  const fieldsOf = ({ segments }: DecodedEntry) =>
    segments.flatMap(({ fields }): readonly DecodedField[] => fields)
  const old = fieldsOf(before)
  const changed = fieldsOf(after).flatMap((field, i) =>
    field.text === old[i].text
      ? []
      : [`         ${field.name}  ${old[i].text} → ${style.green(field.text)}  ${style.dim(placeOf(field))}`],
  )
  return [
    style.dim(`   before: ${hexOf(before.bytes)}`),
    style.dim(`   after:  ${hexOf(after.bytes)}`),
    ...changed,
  ]
}
