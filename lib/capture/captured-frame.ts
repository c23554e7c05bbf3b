/** A frame in memory of its own, read from a queue or a capture, or to be written to one. */
export interface CapturedFrame {
  /** The captured bytes as on the wire: from the destination address on, without the frame check sequence. */
  data: Uint8Array
  /** Bytes that the frame had on the wire: more than {@link data} holds when the capture cut it. */
  originalLength: number
  /** Time of capture, in whole seconds since 1970. */
  seconds: number
  /** Fraction of the second, in nanoseconds. */
  nanoseconds: number
  /** Whom the frame was addressed to, or 4 for one that this host sent ({@link PacketType}); undefined: not known. */
  packetType?: number
  /** Index of the frame's interface in a pcapng capture, from 0. */
  interfaceId?: number
}

/** The Error for bytes that are no capture, or one that this parser does not read; its code is ERR_IBVERBS_CAPTURE. */
export function captureError(message: string): Error {
  return Object.assign(new Error(message), { code: 'ERR_IBVERBS_CAPTURE' })
}

/**
 * Sets a frame's time; a fraction of a second or more carries into the seconds (scapy 2.5 writes 1000000 µs).
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
 * Sets a frame's lengths. An original length below the captured one is raised to it, as in libpcap and Wireshark: the bytes
 * are there.
 *
 * @param trailing bytes of check sequence at the end of the original frame, which are cut off
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

/** LINKTYPE_ETHERNET of https://www.tcpdump.org/linktypes.html, the only link type this library reads and writes. */
export const ethernetLinkType = 1
/** A longer frame means a corrupt capture; tcpdump captures at most 262144 bytes of a frame. */
export const maxFrameBytes = 1 << 20
/** tcpdump(1)'s default snapshot length: no frame is longer. */
export const defaultSnapLength = 262144
