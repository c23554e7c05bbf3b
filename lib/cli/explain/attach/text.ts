/** Rings as text. */
import { hexBytes } from '../../../mlx5/decode/entry.js'
import { bytesText, entryText, type Paint } from '../../../mlx5/decode/text.js'
import type { Style } from '../../style.js'
import type { ThreadRings } from './program.js'
import type { DecodedRing, RingEntry } from './rings.js'

export const racy =
  'The program’s own indices are of one moment. The device goes on writing while its entries are read: the newest may be half-written.'

export const threadName = ({ pid, thread }: ThreadRings): string =>
  `process ${pid}${thread === 0 ? '' : `, thread ${thread}`}`

export const omittedText = ({ omitted }: ThreadRings, mend = 'ask for fewer --entries'): string =>
  `${omitted} more queue${omitted === 1 ? '' : 's'}: ${mend}`

/** What is said of a ring before its entries. */
export const ringText = ({ count, stride, counter }: DecodedRing): string =>
  `${count} entries of ${stride} bytes, counter ${counter}`

export const entryPlace = ({ index, slot, waiting }: RingEntry): string =>
  `${index} in slot ${slot}${waiting ? ', which waits for the program' : ''}`

export function ringsText(threads: readonly ThreadRings[], style: Style): string {
  const paint: Paint = { title: style.bold, value: style.green, quiet: style.dim }
  const lines = threads.flatMap((thread) => [
    style.bold(`the rings of ${threadName(thread)}`),
    ...(thread.queues.length === 0 ? ['no queue is driven through ibverbs/mlx5 there'] : []),
    ...(thread.omitted > 0 ? [omittedText(thread)] : []),
    ...thread.queues.flatMap(({ title, record, rings }) => [
      '',
      style.bold(title),
      `   ${record.title}: ${hexBytes(record.bytes)}`,
      ...record.segments.flatMap(({ fields }) =>
        fields.map(({ name, text }) => `      ${name}  ${style.green(text)}`),
      ),
      ...rings.flatMap((ring) => [
        '',
        `   ${style.bold(ring.name)}: ${ringText(ring)}`,
        ...(ring.note === undefined ? [] : [`   ${ring.note}`]),
        ...ring.entries.flatMap((each) => [
          '',
          `   entry ${entryPlace(each)}`,
          ...entryText(each.entry, paint),
          ...(each.entry.segments.length === 0 ? bytesText(each.entry.bytes, paint) : []),
        ]),
      ]),
    ]),
    '',
  ])
  return [...lines, racy].join('\n')
}
