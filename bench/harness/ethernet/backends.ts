/** The backends that the benchmarks of raw Ethernet compare, and the C peers for them. */
import type { Session } from '../bench.js'

export type Backend = 'af_packet' | 'af_xdp'

/** Names of the backends in a case's title. */
export const title: Readonly<Record<Backend, string>> = { af_packet: 'AF_PACKET', af_xdp: 'AF_XDP' }

/** The peer with the same kind of socket: a C program of bench/peers. */
export const peerOf: Readonly<Record<Backend, string>> = {
  af_packet: 'packet_frames',
  af_xdp: 'xdp_frames',
}

/** The backends that this user may run; notes which one is skipped. */
export function usableBackends(session: Session): Backend[] {
  if (process.getuid!() === 0) return ['af_packet', 'af_xdp']
  session.note('skipped: AF_XDP needs root')
  return ['af_packet']
}
