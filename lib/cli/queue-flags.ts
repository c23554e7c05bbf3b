/** The options of every command that opens a packet queue. */
import type { PacketBackend, PacketQueueOptions } from '../ethernet/index.js'
import { integerOption, UsageError, wordOption } from './usage.js'

export const queueFlags = {
  backend: {
    type: 'string',
    argument: 'NAME',
    help: 'af_packet, or af_xdp: takes them from the kernel (af_packet)',
  },
  queue: { type: 'string', argument: 'ID', help: "of af_xdp: the device's receive queue (0)" },
} as const

/**
 * With AF_PACKET each frame has room for a super-frame, several segments of a connection of this host's under one header:
 * the largest IP packet, its Ethernet header and a VLAN tag. Little of that memory is ever touched.
 */
export const superFrames = { frameSize: 131072, frameCount: 1024, headroom: 4 } as const

/** @throws UsageError */
export function queueOptions(values: {
  backend?: string
  queue?: string
}): Pick<PacketQueueOptions, 'backend' | 'queueId'> & { backend: PacketBackend } {
  const backend = wordOption('--backend', values.backend, ['af_packet', 'af_xdp']) ?? 'af_packet'
  const queueId = integerOption('--queue', values.queue, 0, 65535)
  if (queueId !== undefined && backend !== 'af_xdp') {
    throw new UsageError("--queue needs '--backend af_xdp': af_packet sees all queues")
  }
  return { backend, queueId }
}
