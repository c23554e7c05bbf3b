/** Options of every command that opens a packet queue. */
import type { PacketBackend, PacketQueueOptions } from '../ethernet/index.js'
import { usualOfDevice } from '../ethernet/raw-packet/rdma-port.js'
import { integerOption, UsageError, wordOption } from './usage.js'

const backends = ['af_packet', 'af_xdp', 'raw_packet_qp', 'mlx5'] as const

/** For the help of the commands that take an interface. */
export const interfaceHelp = `An interface is one of the kernel's, or a port of an RDMA device such as mlx5_0/1, on a raw
packet queue pair.`

export const queueFlags = {
  backend: {
    type: 'string',
    argument: 'NAME',
    help: 'af_packet (default), af_xdp: instead of the kernel, raw_packet_qp, mlx5',
  },
  queue: { type: 'string', argument: 'ID', help: "for af_xdp: the device's receive queue, or all (0)" },
} as const

export const timestampFlags = {
  timestamps: {
    type: 'string',
    argument: 'CLOCK',
    help: "software (af_packet's default), or hardware: the device's clock",
  },
} as const

/** @throws UsageError for a clock that the backend has not */
export function timestampOption(
  value: string | undefined,
  backend: PacketBackend,
): 'software' | 'hardware' | undefined {
  const clock = wordOption('--timestamps', value, ['software', 'hardware'])
  if (clock === undefined) return backend === 'af_packet' ? 'software' : undefined
  if (backend === 'af_packet' || (backend === 'mlx5' && clock === 'hardware')) return clock
  throw new UsageError(
    `'--timestamps ${clock}' needs ${clock === 'hardware' ? 'af_packet or mlx5' : 'af_packet'}, not ${backend}`,
  )
}

/**
 * With AF_PACKET each frame has room for a super-frame, several segments of one of this host's connections under one header:
 * the largest IP packet, its Ethernet header and a VLAN tag. Most of that memory is never touched.
 */
export const superFrames = { frameSize: 131072, frameCount: 1024, headroom: 4 } as const

/**
 * @param name an interface, or a port of an RDMA device ('mlx5_0/1'), whose frames go through a raw packet queue pair
 * @throws UsageError
 */
export function queueOptions(
  values: { backend?: string; queue?: string },
  name: string,
): Pick<PacketQueueOptions, 'backend' | 'queueId'> & { backend: PacketBackend } {
  const usual = name.includes('/') ? usualOfDevice(name) : 'af_packet'
  const backend = wordOption('--backend', values.backend, backends) ?? usual
  const queueId = values.queue === 'all' ? 'all' : integerOption('--queue', values.queue, 0, 65535)
  if (queueId !== undefined && backend !== 'af_xdp') {
    throw new UsageError(`--queue needs '--backend af_xdp': ${backend} has no queue to choose`)
  }
  return { backend, queueId }
}
