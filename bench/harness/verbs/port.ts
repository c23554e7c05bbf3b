import { open } from 'ibverbs'

/** Properties of a device's first port that both sides must use alike. */
export interface Port {
  /** The GID index that ours picks by default, so that the peers use the same one. */
  gidIndex: number
  /** Active MTU, in bytes. */
  mtu: number
}

/** Queries a device's first port. */
export function probePort(device: string): Port {
  const context = open(device)
  try {
    const cq = context.createCompletionQueue(2)
    const pair = context
      .allocateProtectionDomain()
      .createQueuePair({ type: 'RC', cq, maxSendWr: 1, maxReceiveWr: 1 })
    return { gidIndex: pair.gidIndex, mtu: pair.endpoint.mtu }
  } finally {
    context.close()
  }
}
