import type { VerbsError } from '../errors.js'
import { goneError, transferError } from './failure.js'
import type { NetworkInterface } from './interfaces.js'

/** The interface under a queue, and whether it is still there. */
export class Device {
  readonly interface: NetworkInterface
  #gone = false

  constructor(device: NetworkInterface) {
    this.interface = device
  }

  /** The error of a transfer that failed. Once the interface was removed it stays so: its index does not come again. */
  failed(errno: number, syscall: string, refusedLength = 0): VerbsError {
    const error = transferError(errno, syscall, this.interface, refusedLength)
    this.#gone ||= error.code === 'ENODEV'
    return error
  }

  /** The kernel reports a removed interface only once: after that this does. */
  check(syscall: string): void {
    if (this.#gone) throw goneError(syscall, this.interface)
  }
}
