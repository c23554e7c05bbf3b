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

/** LINKTYPE_ETHERNET of https://www.tcpdump.org/linktypes.html, the one that is read and written here. */
export const ethernetLinkType = 1
/** The longest frame that is believed; tcpdump keeps 262144 bytes at most. */
export const mostBytes = 1 << 20
/** What tcpdump(1) keeps of a frame by default: more than any frame has. */
export const defaultSnapLength = 262144
