/**
 * What a peer needs to read, write or change a region. It is plain JSON: send it over any channel. Properties that this
 * version does not know are ignored.
 */
export interface RemoteMemory {
  /** Version of this format: changes when an older reader would misread it. */
  version: 1
  /** The region's first byte, as the device addresses it: hexadecimal, such as '0x7f00deadb000'. */
  address: string
  rkey: number
  /** Bytes. */
  length: number
}
