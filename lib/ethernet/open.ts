import { rangeError } from '../argument.js'
import { compileFilter, refuseMetadata } from '../filter/compile.js'
import { AfPacket } from './af-packet/port.js'
import { AfXdp } from './af-xdp/port.js'
import { openXdpQueues } from './af-xdp/queues.js'
import { xdpObstacle } from './af-xdp/setup.js'
import { Batch } from './batch.js'
import { FilteredReceiver } from './filtered-receiver.js'
import { tableOf } from './frames.js'
import { queueCount } from './interface/channels.js'
import type { Link } from './interface/link.js'
import { setUpNic } from './interface/nic-setup.js'
import { Mlx5Port } from './mlx5/port.js'
import { unsupportedOption } from './port-options.js'
import type { QueueParts } from './queue-parts.js'
import { RdmaLink } from './raw-packet/link.js'
import { RawPacket } from './raw-packet/port.js'
import { portBehind } from './raw-packet/rdma-port.js'
import type { WayReport } from './report.js'
import type { Settings } from './settings.js'
import { type Way, wayOver } from './way.js'

/**
 * Opens a queue on the requested backend, or on the best that works.
 *
 * AF_XDP takes frames away from the kernel's network stack: the host no longer answers ARP on that interface. The
 * default is therefore AF_PACKET, unless `backend` or `exclusive` asks for another. `exclusive` alone takes all receive
 * queues of a device, `backend: 'af_xdp'` the first.
 */
export function openWay(link: Link, settings: Settings, queue: QueueParts): Way {
  if (settings.backend === 'af_xdp') return openXdp(link, settings, queue)
  const notUsed: WayReport['notUsed'][number][] = []
  if (settings.backend === 'raw_packet_qp' || settings.backend === 'mlx5') {
    return openDevice(link, settings, queue, notUsed)
  }
  if (settings.backend === undefined) {
    const why = settings.exclusive
      ? tryXdp(link, settings, queue)
      : "it takes frames away from the kernel: ask for it with backend: 'af_xdp' or exclusive: true"
    if (typeof why !== 'string') return why
    if (settings.exclusive) {
      const what = `"${link.interface.name}": exclusive: true is AF_PACKET here, and the kernel sees the frames too: ${why}`
      process.emitWarning(what, { type: 'IbverbsWarning', code: 'IBVERBS_NOT_EXCLUSIVE' })
    }
    notUsed.push({ what: 'af_xdp', why })
  }
  return openPacket(link, settings, queue, notUsed)
}

/** Opens AF_XDP, or returns the reason why it does not work. */
function tryXdp(link: Link, settings: Settings, queue: QueueParts): Way | string {
  const unsupported = unsupportedOption(settings, 'af_xdp')
  if (unsupported) return `options.${unsupported.option} must be ${unsupported.expected}`
  try {
    return openXdp(link, settings, queue, settings.queueId === undefined)
  } catch (error) {
    // AF_PACKET has no receive queue and steers nothing, so it cannot stand in. And the caller can mend a number that
    // AF_XDP does not accept; to fall back would leave the frames to the kernel, which `exclusive` must prevent.
    if (unsupportedOption(settings, 'af_packet') || xdpObstacle(settings)) throw error
    return (error as Error).message
  }
}

/** @param whole use all receive queues of the device, unless one is named */
function openXdp(link: Link, settings: Settings, queue: QueueParts, whole = false): Way {
  const obstacle = xdpObstacle(settings)
  if (obstacle) throw rangeError(`options.${obstacle.option}`, obstacle.expected, obstacle.value)
  const restore = setUpNic(link.interface, settings)
  try {
    return { ...openXdpSockets(link, settings, queue, whole), restore }
  } catch (error) {
    restore?.()
    throw error
  }
}

function openXdpSockets(link: Link, settings: Settings, queue: QueueParts, whole: boolean): Way {
  link.watch()
  const { transmitOnly } = settings
  const several = whole && queueCount(link.interface.name) > 1
  const { queueId = several ? 'all' : 0 } = settings
  if (queueId === 'all' && !transmitOnly) return openXdpQueues(link, settings, queue)
  const { af_xdp: receiveFrames } = settings.receiveFrames
  const port = new AfXdp(link, settings, queueId === 'all' ? 0 : queueId, receiveFrames, queue.onEvent)
  const way = wayOver(port, link, queue, transmitOnly ? 0 : receiveFrames)
  try {
    port.start()
  } catch (error) {
    // The fill ring's frames have no other owner now.
    tableOf(queue.frames).slots.freeAll(queue.holder)
    throw error
  }
  return way
}

const untried = {
  what: 'mlx5',
  why: "its driver was not yet run on a real ConnectX: ask for it with backend: 'mlx5'",
}

function openDevice(
  link: Link,
  settings: Settings,
  queue: QueueParts,
  notUsed: WayReport['notUsed'][number][],
): Way {
  const { filter } = settings
  const program = filter === undefined ? undefined : compileFilter(filter, 'wire')
  if (program) refuseMetadata(program, filter as string, 'a raw packet queue pair')
  const rdma = settings.rdma ?? portBehind(link.interface.name, settings.device)
  if (!settings.named && settings.backend === 'raw_packet_qp') notUsed.push(untried)
  const Port = settings.backend === 'mlx5' ? Mlx5Port : RawPacket
  const { onEvent } = queue
  const port = new Port({ networkInterface: link.interface, rdma, settings, onEvent, notUsed })
  const rdmaLink = new RdmaLink(link.interface, port)
  const { frames, holder, batch, closed } = queue
  // With a filter, frames are taken into a batch of its own first.
  const taken = program ? new Batch(settings.batch) : batch
  const way: Way = {
    ...wayOver(port, rdmaLink, { ...queue, batch: taken }, port.receiveDepth),
    link: rdmaLink,
  }
  const table = tableOf(frames)
  try {
    port.start()
  } catch (error) {
    table.slots.freeAll(holder)
    throw error
  }
  if (!program) return way
  const filtered = new FilteredReceiver(
    way.receiver,
    taken,
    batch,
    program,
    table,
    frames.arena.bytes,
    closed,
  )
  return { ...way, receiver: filtered, restore: () => filtered.close() }
}

function openPacket(link: Link, settings: Settings, queue: QueueParts, notUsed: WayReport['notUsed']): Way {
  link.watch()
  const { transmitOnly, receiveFrames } = settings
  const port = new AfPacket(link.interface, settings, queue.onEvent, notUsed)
  return wayOver(port, link, queue, transmitOnly ? 0 : receiveFrames.af_packet)
}
