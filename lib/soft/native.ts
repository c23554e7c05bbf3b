/** The exports of binding/soft/addon/. */
export interface SoftNative {
  /** Loads the shared library with dlopen(3), once in the process. */
  load(file: string): void
  /** Creates the devices of a specification (binding/soft/device/specification.h); returns its number. */
  open(specification: string): number
  /** Creates the devices of IBVERBS_SOFT, if it is set and they do not exist yet. */
  environment(): void
  close(number: number): void
  /** Lines of `key=value`; empty after it is closed. */
  describe(number: number): string
  /** A line for each violation in strict mode; empty after it is closed. */
  violations(number: number): string
  /**
   * This process becomes the launcher of binding/soft/launch/, with these words behind the library's name and these
   * variables `NAME=value`. Returns only by an error.
   */
  become(library: string, words: readonly string[], environment: readonly string[]): never
  setLink(number: number, device: string, port: number, up: boolean): void
}
