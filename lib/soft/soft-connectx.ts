import { inspect } from 'node:util'
import { boolean, integer, string } from '../argument.js'
import { closedError, verbsError } from '../errors.js'
import { native } from '../native.js'
import { loadSoftLibrary, softFromEnvironment } from './library.js'
import { driverRemedy } from './remedy.js'
import { type SoftOptions, specification } from './specification.js'

/** A port of a software device. */
export interface SoftPortInfo {
  /** Its MAC address, 'aa:bb:cc:dd:ee:ff'. */
  mac: string
}

/** A software device, as {@link SoftConnectX.devices} describes it; `open(name)` of `ibverbs` opens it. */
export interface SoftDeviceInfo {
  /** Name of the device, such as 'mlx5_soft0'. */
  name: string
  /**
   * How the NIC's thread wakes up when it sleeps: by the first doorbell ('userfaultfd'), or, where the kernel or a sandbox
   * forbids that, by polling at least every millisecond ('timer'), which costs about a percent of a core.
   */
  wakeup: 'userfaultfd' | 'timer'
  /** Port 1 and, on a device with two, port 2. */
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
    this.#assertDriven()
  }

  /** libibverbs lists only devices that one of its drivers knows. */
  #assertDriven(): void {
    const listed = new Set(native.verbs.listDevices().map(({ name }) => name))
    const missing = this.devices().find(({ name }) => !listed.has(name))
    if (missing === undefined) return
    this.close()
    throw verbsError('ENODEV', 'ibv_get_device_list', `${missing.name} is not listed: ${driverRemedy}`)
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
   * Takes the link of a port down, or up again: the asynchronous event PORT_ERR or PORT_ACTIVE follows, and frames in
   * between are lost.
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
   * What drivers did on strict devices (`softConnectX({ strict: true })`) that would hang on a card: a sentence for each,
   * the oldest first, with the device, the queue and the index. Each also raised QP_FATAL or CQ_ERR. At most 1000 a device.
   */
  violations(): string[] {
    this.#assertOpen()
    const text = native.soft.violations(this.#number).trimEnd()
    return text === '' ? [] : text.split('\n')
  }

  /**
   * Removes the devices. Contexts that are still open get the event DEVICE_FATAL, have their requests flushed, and can only
   * be closed; the NIC's thread and memory go with the last of them. Closing twice is harmless.
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
 * Creates software ConnectX devices in this process: from then on listDevices() and open() of `ibverbs` know them, and the
 * distribution's unmodified libibverbs and libmlx5 drive them, writing real work queue entries into real rings. Needs no
 * RDMA hardware, no kernel module and no privilege. Checks formats and logic, not hardware timing.
 *
 * A process may have one at a time; all its workers see the devices. Real devices of the machine stay in the list.
 *
 * @throws VerbsError EBUSY when one exists already (IBVERBS_SOFT creates one, too), ENOSYS without libibverbs, ENODEV
 *   without libmlx5, EPERM or ENODEV for a wire that is not available
 */
export function softConnectX(options?: SoftOptions): SoftConnectX {
  return SoftConnectX.of(options)
}
