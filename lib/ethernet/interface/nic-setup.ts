import { VerbsError } from '../../errors.js'
import type { Settings } from '../settings.js'
import { queryChannels, setChannels } from './channels.js'
import { listInterfaces, type NetworkInterface } from './interfaces.js'
import { Steering } from './steering.js'

/**
 * Configures a NIC for a queue, and returns a function that restores it; undefined when nothing was changed.
 *
 * @throws VerbsError of a setting that the driver does not have or refuses; nothing is changed then
 */
export function setUpNic(
  networkInterface: NetworkInterface,
  { channels, steer, queueId }: Pick<Settings, 'channels' | 'steer' | 'queueId'>,
): (() => void) | undefined {
  const undo: (() => void)[] = []
  const undoAll = (): void => {
    for (const step of undo.splice(0).reverse()) step()
  }
  try {
    if (channels !== undefined) {
      // A device has combined channels, or separate ones to receive and to transmit.
      const { most } = queryChannels(networkInterface.name)
      const wanted = most.combined > 0 ? { combined: channels } : { receive: channels, transmit: channels }
      const before = setChannels(networkInterface.name, wanted)
      undo.push(() => {
        // Renamed, or removed.
        const now = listInterfaces().find(({ index }) => index === networkInterface.index)
        if (now) whenReleased(() => setChannels(now.name, before))
      })
    }
    if (steer) {
      const steering = Steering.install(
        networkInterface.name,
        networkInterface.index,
        steer,
        typeof queueId === 'number' ? queueId : 0,
      )
      undo.push(() => steering.remove())
    }
  } catch (error) {
    undoAll()
    throw error
  }
  return undo.length > 0 ? undoAll : undefined
}

/** Milliseconds between two attempts, and for how long. */
const retry = { every: 2, most: 2000 } as const
const nobody = new Int32Array(new SharedArrayBuffer(4))

/**
 * Changes a device whose AF_XDP sockets were closed a moment ago. The kernel refuses to take away a channel that such a
 * socket has (EINVAL; ethtool_check_max_channel in net/ethtool), and a closed one has it until a work queue has freed
 * its pool (xp_put_pool in net/xdp).
 */
function whenReleased(change: () => void): void {
  for (let waited = 0; ; waited += retry.every) {
    try {
      change()
      return
    } catch (error) {
      if (!(error instanceof VerbsError && error.code === 'EINVAL') || waited >= retry.most) throw error
    }
    Atomics.wait(nobody, 0, 0, retry.every)
  }
}
