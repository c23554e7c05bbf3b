import { string } from '../argument.js'
import { VerbsError, verbsError } from '../errors.js'
import { native } from '../native.js'
import { softFromEnvironment } from '../soft/library.js'
import { driverRemedy } from '../soft/remedy.js'
import { type NodeType, NodeTypes, nameOf, type TransportType, TransportTypes } from './constants.js'
import { Context } from './context.js'
import type { NativeDevice } from './native.js'

/** An RDMA device of this machine, as ibv_get_device_list(3) reports it without opening it. */
export interface DeviceInfo {
  /** Kernel name, such as 'mlx5_0' or 'rxe0'. */
  name: string
  /** Kernel index (ibv_get_device_index(3)); -1 where the kernel does not report it. */
  index: number
  /** Node GUID, as ibv_devinfo(1) prints it: four groups of four hex digits. */
  guid: string
  nodeType: NodeType
  transport: TransportType
}

/**
 * The RDMA devices of this machine, sorted by name; empty where there are none. With IBVERBS_SOFT set, software devices
 * too (`ibverbs/soft`).
 *
 * @throws VerbsError of the software ConnectX when IBVERBS_SOFT asks for what cannot be had
 * @throws VerbsError ENOSYS (syscall 'dlopen') where libibverbs is not installed
 */
export function listDevices(): DeviceInfo[] {
  return inOrder().map((device) => ({
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
 * Opens an RDMA device: the named one, or the first of {@link listDevices}.
 *
 * @throws VerbsError of the software ConnectX when IBVERBS_SOFT asks for what cannot be had
 * @throws VerbsError ENODEV when there is none of that name, or none at all; the message says what to do
 * @throws VerbsError ENOSYS (syscall 'dlopen') where libibverbs is not installed
 */
export function open(name?: string): Context {
  if (name !== undefined) string('name', name)
  const chosen = name ?? inOrder()[0]?.name
  if (name !== undefined) softFromEnvironment()
  const handle = chosen === undefined ? 0 : openNamed(chosen)
  if (chosen === undefined || handle === 0) throw noDevice(name)
  return Context.of(handle, chosen)
}

function openNamed(name: string): number {
  try {
    return native.verbs.openDevice(name)
  } catch (error) {
    if (!(error instanceof VerbsError) || error.code !== 'ENOMEM' || !/^mlx5_soft\d+$/.test(name)) throw error
    throw verbsError(
      'ENOMEM',
      'ibv_open_device',
      `${name}: a process has doorbell pages for 128 contexts of software ConnectX, and all are in use: close one of them`,
    )
  }
}

/** Sorted by name, numbers in a name by their value: libibverbs returns them in the order of the directory. */
function inOrder(): NativeDevice[] {
  softFromEnvironment()
  return native.verbs.listDevices().sort((a, b) => compareNames(a.name, b.name))
}

function compareNames(a: string, b: string): number {
  const [left, right] = [a, b].map((name) => name.split(/(\d+)/))
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    if (left[i] === right[i]) continue
    const difference = i % 2 === 1 ? Number(left[i]) - Number(right[i]) : 0
    return difference || (left[i] < right[i] ? -1 : 1)
  }
  return left.length - right.length
}

function noDevice(name: string | undefined) {
  const names = inOrder().map((device) => device.name)
  if (name !== undefined && names.length > 0) {
    return verbsError('ENODEV', 'ibv_open_device', `no device "${name}": there are ${names.join(', ')}`)
  }
  return verbsError(
    'ENODEV',
    'ibv_open_device',
    `${name === undefined ? 'this machine has no RDMA device' : `no device "${name}", nor any other`}: ${remedy()}; ` +
      "'ibverbs doctor' tells more",
  )
}

function remedy(): string {
  const { IBVERBS_SOFT } = process.env
  if (IBVERBS_SOFT && IBVERBS_SOFT !== '0') return `there are those of IBVERBS_SOFT, but ${driverRemedy}`
  return (
    "a software ConnectX is there at once, with IBVERBS_SOFT=loop or softConnectX() of 'ibverbs/soft'; or load a driver, " +
    "or make a SoftRoCE device with 'modprobe rdma_rxe; rdma link add rxe0 type rxe netdev eth0'"
  )
}
