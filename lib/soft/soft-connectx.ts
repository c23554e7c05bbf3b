import { inspect } from 'node:util'
import { boolean, integer, string } from '../argument.js'
import { closedError } from '../errors.js'
import { native } from '../native.js'
import { loadSoftLibrary, softFromEnvironment } from './library.js'
import { type SoftOptions, specification } from './specification.js'

/** A port of a software device. */
export interface SoftPortInfo {
  /** Its MAC address, 'aa:bb:cc:dd:ee:ff'. */
  mac: string
}

/** A software device, as {@link SoftConnectX.devices} tells of it; `open(name)` of `ibverbs` opens it. */
export interface SoftDeviceInfo {
  /** 'mlx5_soft0' */
  name: string
  /**
   * What wakes the NIC's thread when it sleeps: the first doorbell ('userfaultfd'), or, where the kernel or a sandbox
   * forbids that, a look every millisecond at most ('timer'), which costs about a percent of a core.
   */
  wakeup: 'userfaultfd' | 'timer'
  /** Port 1 and, of a device with two, port 2. */
  ports: SoftPortInfo[]
}

/**
 * Software ConnectX devices in this process, until they are closed. See {@link softConnectX}.
 */
export class SoftConnectX {
  readonly #number: number
  #closed = false

  /** @internal see {@link softConnectX} */
  static of(options: SoftOptions | undefined): SoftConnectX {
    return new SoftConnectX(options)
  }

  private constructor(options: SoftOptions | undefined) {
    const words = specification(options)
    loadSoftLibrary()
    softFromEnvironment()
    this.#number = native.soft.open(words)
  }

  get closed(): boolean {
    return this.#closed
  }

  /** The devices, in the order of their names. */
  devices(): SoftDeviceInfo[] {
    this.#assertOpen()
    const devices: SoftDeviceInfo[] = []
    for (const line of native.soft.describe(this.#number).trimEnd().split('\n')) {
      const words = new Map(line.split(' ').map((word) => word.split('=', 2) as [string, string]))
      const name = words.get('name')
      if (name !== undefined) {
        devices.push({ name, wakeup: words.get('wakeup') as SoftDeviceInfo['wakeup'], ports: [] })
      } else {
        devices.at(-1)?.ports.push({ mac: words.get('mac') ?? '' })
      }
    }
    return devices
  }

  /**
   * Takes the link of a port down, or up again: PORT_ERR or PORT_ACTIVE follows as an asynchronous event, and frames
   * are lost in between.
   *
   * @throws VerbsError ENODEV or EINVAL when there is no such device or port
   */
  setLink(device: string, port: number, up: boolean): void {
    string('device', device)
    integer('port', port, 1, 255)
    boolean('up', up)
    this.#assertOpen()
    native.soft.setLink(this.#number, device, port, up)
  }

  /**
   * Pulls the devices out. Contexts that are still open get the event DEVICE_FATAL, have their requests flushed, and can
   * only be closed; with the last of them the NIC's thread and memory are gone. Closing twice is harmless.
   */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    native.soft.close(this.#number)
  }

  [Symbol.dispose](): void {
    this.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }

  [inspect.custom](_depth: number, options: object): string {
    const shown = this.#closed ? { closed: true } : { devices: this.devices() }
    return `SoftConnectX ${inspect(shown, options)}`
  }

  #assertOpen(): void {
    if (this.#closed) throw closedError('software ConnectX')
  }
}

/**
 * Makes software ConnectX devices in this process: from here on listDevices() and open() of `ibverbs` know them, and the
 * unmodified libibverbs and libmlx5 of the distribution drive them, writing real work queue entries into real rings.
 * It needs no RDMA hardware, no kernel module and no privilege. It checks formats and logic, not hardware timing.
 *
 * One at a time in a process; its devices are seen by all its workers. Real devices of the machine stay in the list.
 *
 * @throws VerbsError EBUSY when there is one already (IBVERBS_SOFT makes one, too), ENOSYS without libibverbs,
 *   EPERM or ENODEV for a wire that cannot be had
 */
export function softConnectX(options?: SoftOptions): SoftConnectX {
  return SoftConnectX.of(options)
}
