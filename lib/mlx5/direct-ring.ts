/** One of a device's rings, as it lies in memory. Fields are big-endian, as DataView's calls are by default. */
export interface DirectRing {
  /** All of it. */
  readonly bytes: Uint8Array<SharedArrayBuffer>
  /** The same bytes. */
  readonly view: DataView<SharedArrayBuffer>
  /** Bytes from one entry to the next. */
  readonly stride: number
  /** Entries: a power of two. */
  readonly count: number
  /** The doorbell record's word: how far the program has come. Big-endian, which an Int32Array is not. */
  readonly record: Int32Array<SharedArrayBuffer>
}
