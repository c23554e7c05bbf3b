import { native } from '../native.js'

/** The installed libpcap, which compiles filters. */
export interface PcapLibrary {
  /** The file it was loaded from; empty where it is not installed. */
  readonly path: string
  /** What pcap_lib_version(3) returns, 'libpcap version 1.10.3'; empty where it is not installed. */
  readonly version: string
  /** Why loading failed; empty where it did not. */
  readonly error: string
}

/** Loads libpcap, unless it is loaded already, and describes it. */
export function pcapLibrary(): PcapLibrary {
  return native.ethernet.pcap.library()
}
