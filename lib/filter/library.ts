import { native } from '../native.js'

/** The libpcap that compiles filters here. */
export interface PcapLibrary {
  /** The file that it was loaded from; empty where it is not installed. */
  readonly path: string
  /** As it says itself, 'libpcap version 1.10.3'; empty where it is not installed. */
  readonly version: string
  /** Why it could not be loaded; empty where it was. */
  readonly error: string
}

/** Loads libpcap, if that was not done yet, and says which it is. */
export function pcapLibrary(): PcapLibrary {
  return native.ethernet.pcap.library()
}
