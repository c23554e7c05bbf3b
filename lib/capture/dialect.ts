/** One of the two capture formats. */
export interface Dialect {
  /** Name of the format, for errors. */
  readonly name: 'pcap' | 'pcapng'
  /**
   * Reads one record or block.
   *
   * @param found receives the frame, if it is one
   * @returns its length in bytes; 0 when the bytes end before it does
   * @throws Error ERR_IBVERBS_CAPTURE
   */
  read(view: DataView, at: number, end: number, found: FoundFrame): number
}

/** Where a frame lies in the parser's bytes, and its metadata. */
export interface FoundFrame {
  /** Whether the last record or block was a frame. */
  found: boolean
  offset: number
  length: number
  originalLength: number
  seconds: number
  nanoseconds: number
  interfaceId: number
  linkType: number
  /** −1: not known. */
  packetType: number
}
