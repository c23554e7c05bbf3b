import { constants } from 'node:os'
import { VerbsError } from '../../errors.js'
import type { NetworkInterface } from '../interface/interfaces.js'
import { Link } from '../interface/link.js'
import type { DevicePort } from './device-port.js'

const { ENETDOWN, ENODEV, EIO } = constants.errno

/** An RDMA device's port as a queue's link: its state is the port's, and its errors use the terms of verbs. */
export class RdmaLink extends Link {
  readonly #port: DevicePort

  constructor(networkInterface: NetworkInterface, port: DevicePort) {
    super(networkInterface)
    this.#port = port
    this.stuck = !port.active
    port.onPort = (active) => {
      this.stuck = !active
    }
  }

  override carries(): boolean {
    return this.#port.active
  }

  override ready(syscall: string): boolean {
    this.stuck = this.stuck && !this.carries()
    if (this.stuck) this.obstacle = this.failed(ENETDOWN, syscall)
    return !this.stuck
  }

  override failed(errno: number, syscall: string, refusedLength = 0): VerbsError {
    const { name } = this.interface
    if (errno === ENODEV) return new VerbsError(errno, syscall, `the RDMA device of "${name}" is gone`)
    if (errno === EIO) {
      // WR_FLUSH_ERR can also mean that the device is gone: its event reports that, on libuv's loop.
      const why = `"${name}": the device gave up the queue pair (${this.#port.failure}): close the queue and open another`
      return new VerbsError(errno, syscall, why)
    }
    if (errno === ENETDOWN) return new VerbsError(errno, syscall, `the port of "${name}" is down`)
    return super.failed(errno, syscall, refusedLength)
  }
}
