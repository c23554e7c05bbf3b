/**
 * What a peer needs to read, write or change a region: plain JSON, to be sent over whatever is at hand. What this version
 * does not know of it is ignored.
 */
export interface RemoteMemory {
  /** Of this format: changes when an older reader would understand it wrongly. */
  version: 1
  /** The region's first byte, as the device addresses it: hexadecimal, such as '0x7f00deadb000'. */
  address: string
  rkey: number
  /** Bytes. */
  length: number
}
