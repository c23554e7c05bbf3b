/** A conversation as text. */
import { hexBytes } from '../../mlx5/decode/entry.js'
import { bytesText, entryText, type Paint, placeOf } from '../../mlx5/decode/text.js'
import type { DecodedEntry } from '../../mlx5/index.js'
import { frameText } from '../frame/frame-text.js'
import type { Style } from '../style.js'
import { changes } from './changes.js'
import type { Conversation, Step } from './conversation.js'
import { roceText } from './roce-text.js'

export function conversationText(conversation: Conversation, style: Style): string {
  const { device, kind, steps } = conversation
  const head = `${kind === 'frame' ? 'a frame' : `an RC ${kind}`} on ${device}, byte by byte`
  return [style.bold(head), ...steps.flatMap((step, i) => ['', ...stepText(step, i + 1, style)])].join('\n')
}

function stepText(step: Step, number: number, style: Style): string[] {
  const { side, title, entry, before, bytes } = step
  const paint: Paint = { title: style.bold, value: style.green, quiet: style.dim }
  const lines = [`${style.bold(`${number}. ${side}`)} ${title}`]
  if (bytes) {
    if (side === 'wire') {
      const roce = roceText(bytes)
      lines.push(`   ${frameText(bytes, { link: true })}`, ...(roce === undefined ? [] : [`   ${roce}`]))
    }
    lines.push(...bytesText(bytes, paint))
  }
  if (entry && before) lines.push(...changeText(before, entry, style))
  else if (entry) lines.push(...entryText(entry, paint))
  return lines
}

/** What a step changed about a doorbell record. */
function changeText(before: DecodedEntry, after: DecodedEntry, style: Style): string[] {
  return [
    style.dim(`   before: ${hexBytes(before.bytes)}`),
    style.dim(`   after:  ${hexBytes(after.bytes)}`),
    ...changes(before, after).map(
      ({ was, ...field }) =>
        `         ${field.name}  ${was} → ${style.green(field.text)}  ${style.dim(placeOf(field))}`,
    ),
  ]
}
