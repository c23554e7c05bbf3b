import { readdirSync } from 'node:fs'
import { integer, string } from '../../argument.js'
import { VerbsError, verbsError } from '../../errors.js'
import { parse as ipv6Bytes } from '../../headers/ipv6.js'
import { formatMac } from '../../headers/mac.js'
import { isSoftware } from '../../soft/device-name.js'
import type { Context } from '../../verbs/context.js'
import { listDevices, open as openContext } from '../../verbs/device.js'
import { listInterfaces, type NetworkInterface, queryInterface } from '../interface/interfaces.js'

/** A port of an RDMA device, on which a raw packet queue pair is created. */
export interface RdmaPort {
  /** Name of the device, such as 'mlx5_0'. */
  readonly rdmaDevice: string
  /** From 1. */
  readonly port: number
}

/**
 * Who drives a device's rings if nobody is named: this package those of a software ConnectX, which its tests run on; libibverbs
 * those of a real one, as long as no selftest of such a device is known.
 */
export function usualOfDevice(name: string): 'mlx5' | 'raw_packet_qp' {
  return isSoftware(name) ? 'mlx5' : 'raw_packet_qp'
}

/** The default payload of a frame on a port without a network interface, whose MTU it would otherwise be. */
const usualMtu = 1500

/**
 * Resolves a name: a network interface, or a port of an RDMA device, 'mlx5_0' or 'mlx5_0/2'.
 *
 * @param mtu of a port that has no interface
 * @throws VerbsError ENODEV, with a list of the existing ones
 */
export function targetOf(
  name: string,
  port: number | undefined,
  mtu: number | undefined,
): { interface: NetworkInterface; rdma: RdmaPort | undefined } {
  string('interfaceName', name)
  const interfaces = listInterfaces()
  const known = interfaces.find((each) => each.name === name)
  if (known) return { interface: known, rdma: undefined }
  const [, rdmaDevice, number] = /^([^/]+)(?:\/([1-9]\d{0,2}))?$/.exec(name) ?? []
  const devices = rdmaDevices()
  if (rdmaDevice === undefined || !devices.includes(rdmaDevice)) {
    const words = (names: string[]) => names.join(', ') || 'none'
    throw verbsError(
      'ENODEV',
      'if_nametoindex',
      `"${name}" is neither an interface (there are: ${words(interfaces.map((each) => each.name))}) ` +
        `nor a port of an RDMA device, DEVICE/PORT (there are: ${words(devices)})`,
    )
  }
  const rdma = { rdmaDevice, port: number === undefined ? (port ?? 1) : Number(number) }
  return { interface: interfaceOf(rdma, mtu), rdma }
}

/** The RDMA devices' names; none where libibverbs is not installed. An invalid IBVERBS_SOFT still throws. */
export function rdmaDevices(): string[] {
  try {
    return listDevices().map(({ name }) => name)
  } catch (error) {
    if (error instanceof VerbsError && error.syscall === 'dlopen' && error.code === 'ENOSYS') return []
    throw error
  }
}

/**
 * The port behind an interface: the one whose GID table lists the interface.
 *
 * @param device look on this device only
 * @throws VerbsError ENODEV
 */
export function portBehind(name: string, device?: string): RdmaPort {
  const devices = device === undefined ? candidates(name) : [device]
  for (const each of devices) {
    const context = openContext(each)
    try {
      const entry = context.queryGidTable().find(({ netdev }) => netdev === name)
      if (entry) return { rdmaDevice: each, port: entry.port }
    } finally {
      context.close()
    }
  }
  const looked = devices.length === 0 ? 'this machine has none' : `looked at ${devices.join(', ')}`
  throw verbsError('ENODEV', 'ibv_open_device', `no RDMA device has a port behind "${name}" (${looked})`)
}

/** Devices that may be behind an interface: those of the same PCI function where sysfs shows it, else all. */
function candidates(name: string): string[] {
  const all = rdmaDevices()
  try {
    const same = readdirSync(`/sys/class/net/${name}/device/infiniband`)
    return [...all.filter((each) => same.includes(each)), ...all.filter((each) => !same.includes(each))]
  } catch {
    return all
  }
}

/** The network interface of a port; for a port without one, the properties that the device tells. */
function interfaceOf({ rdmaDevice, port }: RdmaPort, mtu: number | undefined): NetworkInterface {
  const context = openContext(rdmaDevice)
  try {
    integer('options.port', port, 1, context.portCount)
    const table = context.queryGidTable().filter((entry) => entry.port === port)
    const { netdev } = table.find((entry) => entry.netdev !== null) ?? {}
    if (netdev) return queryInterface(netdev)
    const macBytes = macOf(context, port)
    const up = context.queryPort(port).state === 'ACTIVE'
    return Object.freeze({
      name: `${rdmaDevice}/${port}`,
      index: 0,
      mac: formatMac(macBytes),
      macBytes,
      mtu: mtu ?? usualMtu,
      type: 1,
      up,
      running: up,
      carrier: up,
      loopback: false,
    })
  } finally {
    context.close()
  }
}

/** A port's MAC address, recovered from the link-local GID that is derived from it (EUI-64; RFC 4291, appendix A). */
function macOf(context: Context, port: number): Uint8Array {
  for (const { gid } of context.queryGidTable().filter((entry) => entry.port === port)) {
    const bytes = ipv6Bytes(gid)
    if (bytes[0] === 0xfe && bytes[1] === 0x80 && bytes[11] === 0xff && bytes[12] === 0xfe) {
      return Uint8Array.of(bytes[8] ^ 2, bytes[9], bytes[10], bytes[13], bytes[14], bytes[15])
    }
  }
  throw verbsError(
    'ENODEV',
    'ibv_query_gid_table',
    `port ${port} of ${context.name} has neither an interface nor a link-local GID that would tell its MAC address`,
  )
}
