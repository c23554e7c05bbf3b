/** The exports of binding/ring/. */
export interface RingNative {
  readonly pageSize: number
  alignmentGap(bytes: Uint8Array, alignment: number): number
  useHugePages(bytes: Uint8Array): void
  hugePageBytes(bytes: Uint8Array): number
}
