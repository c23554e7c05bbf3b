/** Counters as text. */
import type { PacketStatistics } from '../ethernet/index.js'

/** Texts for the causes of `DropCause`. */
const causes: Readonly<Record<string, string>> = {
  receiveBufferFull: "the socket's buffer was full",
  receiveRingFull: 'the receive ring was full',
  fillRingEmpty: 'no frame to receive into',
  invalidDescriptor: 'invalid descriptor',
  other: 'no cause given',
}

/** Texts for errors of single frames. */
const reasons: Readonly<Record<string, string>> = {
  EMSGSIZE: ': too long for the interface',
  ENOMEM: ': cannot be cut into segments, or its checksum not be completed',
  ENOBUFS: ': never taken by the queueing discipline or a filter',
  EBUSY: ': dropped by the device, which has no carrier or no room',
}

export function framesText(count: number): string {
  return `${count} ${count === 1 ? 'frame' : 'frames'}`
}

/** '3 dropped by kernel', and the causes if there are any. */
export function dropsText({ dropped, drops }: Pick<PacketStatistics, 'dropped' | 'drops'>): string {
  const why = Object.entries(drops).flatMap(([cause, count]) =>
    count > 0 ? [`${causes[cause] ?? cause}: ${count}`] : [],
  )
  return `${dropped} dropped by kernel${why.length > 0 ? ` (${why.join(', ')})` : ''}`
}

/** Frames lost in sending, one phrase for each cause; empty when there were none. */
export function refusalsText({
  refusals,
  invalid,
}: Pick<PacketStatistics, 'refusals' | 'invalid'>): string[] {
  return [
    ...Object.entries(refusals).map(
      ([code, count]) => `${count} refused by the kernel (${code}${reasons[code] ?? ''})`,
    ),
    ...(invalid > 0 ? [`${invalid} ring records that were invalid`] : []),
  ]
}

/** Frames that were longer than their buffer; empty when there were none. */
export function cutText(cut: number): string[] {
  return cut === 0
    ? []
    : [`${cut} too long for a frame and not sent on (turn gro, gso and tso off with ethtool -K)`]
}
