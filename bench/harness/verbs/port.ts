import { open } from 'ibverbs'

/** What both sides must agree on about a device's first port. */
export interface Port {
  /** The GID index that ours picks by default, so that the peers take the same one. */
  gidIndex: number
  /** Active MTU, in bytes. */
  mtu: number
}

/** Looks at a device's first port. */
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
