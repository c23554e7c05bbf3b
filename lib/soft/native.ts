/** What binding/soft/addon/ exports. */
export interface SoftNative {
  /** dlopen(3) of the shared library, once in the process. */
  load(file: string): void
  /** Makes the devices of a specification (binding/soft/device/specification.h); their number. */
  open(specification: string): number
  /** Makes those of IBVERBS_SOFT, if it is set and they are not there yet. */
  environment(): void
  close(number: number): void
  /** Lines of `key=value`; empty once it is closed. */
  describe(number: number): string
  setLink(number: number, device: string, port: number, up: boolean): void
}
