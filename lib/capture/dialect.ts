/** One of the two formats. */
export interface Dialect {
  /** Its name, for errors. */
  readonly name: 'pcap' | 'pcapng'
  /**
   * Reads one record or block.
   *
   * @param found where to put a frame
   * @returns how many bytes it takes; 0 when there are not enough
   * @throws Error ERR_IBVERBS_CAPTURE
   */
  read(view: DataView, at: number, end: number, found: FoundFrame): number
}

/** Where a frame lies among the bytes there are, and what is known of it. */
export interface FoundFrame {
  /** Whether what was read last is a frame. */
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
