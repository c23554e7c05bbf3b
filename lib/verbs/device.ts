import { string } from '../argument.js'
import { verbsError } from '../errors.js'
import { native } from '../native.js'
import { softFromEnvironment } from '../soft/library.js'
import { type NodeType, NodeTypes, nameOf, type TransportType, TransportTypes } from './constants.js'
import { Context } from './context.js'

/** An RDMA device of this machine, as ibv_get_device_list(3) knows it without opening it. */
export interface DeviceInfo {
  /** Kernel name, such as 'mlx5_0' or 'rxe0'. */
  name: string
  /** Kernel index (ibv_get_device_index(3)); -1 where the kernel does not tell. */
  index: number
  /** Node GUID, as ibv_devinfo(1) prints it: four groups of four hex digits. */
  guid: string
  nodeType: NodeType
  transport: TransportType
}

/**
 * The RDMA devices of this machine; empty where there are none. With IBVERBS_SOFT set, software ones too (`ibverbs/soft`).
 *
 * @throws VerbsError ENOSYS (syscall 'dlopen') where libibverbs is not installed
 */
export function listDevices(): DeviceInfo[] {
  softFromEnvironment()
  return native.verbs.listDevices().map((device) => ({
    ...device,
    nodeType: device.nodeType < 0 ? 'UNKNOWN' : nameOf(NodeTypes, device.nodeType),
    transport: device.transport < 0 ? 'UNKNOWN' : nameOf(TransportTypes, device.transport),
  }))
}

/** The file that libibverbs was loaded from, or null where it is not installed. */
export function libibverbsPath(): string | null {
  return native.verbs.libraryPath()
}

/**
 * Opens an RDMA device: the named one, or the first.
 *
 * @throws VerbsError ENODEV when there is none of that name, or none at all; the message says what to do
 * @throws VerbsError ENOSYS (syscall 'dlopen') where libibverbs is not installed
 */
export function open(name?: string): Context {
  if (name !== undefined) string('name', name)
  softFromEnvironment()
  const chosen = name ?? native.verbs.listDevices()[0]?.name
  const handle = chosen === undefined ? 0 : native.verbs.openDevice(chosen)
  if (chosen === undefined || handle === 0) throw noDevice(name)
  return Context.of(handle, chosen)
}

function noDevice(name: string | undefined) {
  const names = native.verbs.listDevices().map((device) => device.name)
  if (name !== undefined && names.length > 0) {
    return verbsError('ENODEV', 'ibv_open_device', `no device "${name}": there are ${names.join(', ')}`)
  }
  return verbsError(
    'ENODEV',
    'ibv_open_device',
    `${name === undefined ? 'this machine has no RDMA device' : `no device "${name}", nor any other`}: ` +
      "load a driver, or make a SoftRoCE device with 'modprobe rdma_rxe; rdma link add rxe0 type rxe netdev eth0'; " +
      "'ibverbs doctor' tells more",
  )
}
