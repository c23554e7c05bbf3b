/** A frame of its own memory, out of a queue or a capture, or on its way into one. */
export interface CapturedFrame {
  /** What there is of the frame, as on the wire: from the destination address on, without the check sequence. */
  data: Uint8Array
  /** Bytes that the frame had on the wire: more than there are when it was cut. */
  originalLength: number
  /** When it came, in whole seconds since 1970. */
  seconds: number
  /** The rest of {@link seconds}. */
  nanoseconds: number
  /** To whom it was addressed, or 4 for one that was sent ({@link PacketType}); undefined: not known. */
  packetType?: number
  /** Which interface of a pcapng capture it belongs to, from 0. */
  interfaceId?: number
}

/** Why bytes are no capture, or none that is understood: an Error with code ERR_IBVERBS_CAPTURE. */
export function captureError(message: string): Error {
  return Object.assign(new Error(message), { code: 'ERR_IBVERBS_CAPTURE' })
}

/**
 * The time of a frame; a rest of a second and more counts as seconds (scapy 2.5 writes 1000000 µs).
 *
 * @param rest of the second, in nanoseconds
 */
export function setTime(
  frame: { seconds: number; nanoseconds: number },
  seconds: number,
  rest: number,
): void {
  const carried = rest < 1e9 ? 0 : Math.floor(rest / 1e9)
  frame.seconds = seconds + carried
  frame.nanoseconds = rest - carried * 1e9
}

/**
 * The lengths of a frame. An original length below what was captured is not believed, as libpcap and Wireshark do not: the
 * bytes are there.
 *
 * @param trailing bytes of check sequence at the end of the original frame, which are left away
 */
export function setLengths(
  frame: { length: number; originalLength: number },
  captured: number,
  original: number,
  trailing: number,
): void {
  const whole = Math.max(captured, original)
  frame.originalLength = Math.max(0, whole - trailing)
  frame.length = Math.min(captured, frame.originalLength)
}

/** LINKTYPE_ETHERNET of https://www.tcpdump.org/linktypes.html, the one that is read and written here. */
export const ethernetLinkType = 1
/** The longest frame that is believed; tcpdump keeps 262144 bytes at most. */
export const mostBytes = 1 << 20
/** What tcpdump(1) keeps of a frame by default: more than any frame has. */
export const defaultSnapLength = 262144
