import { rangeError } from '../argument.js'
import { compileFilter, refuseMetadata } from '../filter/compile.js'
import { AfPacket } from './af-packet/port.js'
import { AfXdp } from './af-xdp/port.js'
import { openXdpQueues } from './af-xdp/queues.js'
import { xdpObstacle } from './af-xdp/setup.js'
import { FilteredReceiver } from './filtered-receiver.js'
import { type FramePool, tableOf } from './frames.js'
import { queueCount } from './interface/channels.js'
import type { Link } from './interface/link.js'
import { setUpNic } from './interface/nic-setup.js'
import type { Settings } from './options.js'
import type { Port, Way } from './port.js'
import { strangeOption } from './port-options.js'
import { RdmaLink } from './raw-packet/link.js'
import { RawPacket } from './raw-packet/port.js'
import { portBehind } from './raw-packet/rdma-port.js'
import { Receiver } from './receiver.js'
import type { WayReport } from './report.js'
import { Transmitter } from './transmitter.js'

/**
 * Opens a queue on the requested backend, or on the best that works.
 *
 * AF_XDP takes frames away from the kernel's network stack: the host no longer answers ARP on that interface. The
 * default is therefore AF_PACKET, unless `backend` or `exclusive` asks for another. `exclusive` alone takes all receive
 * queues of a device, `backend: 'af_xdp'` the first.
 *
 * @param holder owns the queue's frames (lib/ring/slots.ts)
 */
export function openWay(link: Link, settings: Settings, holder: number, onEvent: () => void): Way {
  if (settings.backend === 'af_xdp') return openXdp(link, settings, holder, onEvent)
  const notUsed: WayReport['notUsed'][number][] = []
  if (settings.backend === 'raw_packet_qp') return openRaw(link, settings, holder, onEvent, notUsed)
  if (settings.backend === undefined) {
    const why = settings.exclusive
      ? tryXdp(link, settings, holder, onEvent)
      : "it takes frames away from the kernel: ask for it with backend: 'af_xdp' or exclusive: true"
    if (typeof why !== 'string') return why
    if (settings.exclusive) {
      const what = `"${link.interface.name}": exclusive: true is AF_PACKET here, and the kernel sees the frames too: ${why}`
      process.emitWarning(what, { type: 'IbverbsWarning', code: 'IBVERBS_NOT_EXCLUSIVE' })
    }
    notUsed.push({ what: 'af_xdp', why })
  }
  return openPacket(link, settings, holder, onEvent, notUsed)
}

/** Opens AF_XDP, or returns the reason why it does not work. */
function tryXdp(link: Link, settings: Settings, holder: number, onEvent: () => void): Way | string {
  const strange = strangeOption(settings, 'af_xdp')
  if (strange) return `options.${strange.option} must be ${strange.expected}`
  try {
    return openXdp(link, settings, holder, onEvent, settings.queueId === undefined)
  } catch (error) {
    // AF_PACKET has no receive queue and steers nothing, so it cannot stand in. And the caller can mend a number that
    // AF_XDP does not accept; to fall back would leave the frames to the kernel, which `exclusive` must prevent.
    if (strangeOption(settings, 'af_packet') || xdpObstacle(settings)) throw error
    return (error as Error).message
  }
}

/** @param whole use all receive queues of the device, unless one is named */
function openXdp(link: Link, settings: Settings, holder: number, onEvent: () => void, whole = false): Way {
  const obstacle = xdpObstacle(settings)
  if (obstacle) throw rangeError(`options.${obstacle.option}`, obstacle.expected, obstacle.value)
  const restore = setUpNic(link.interface, settings)
  try {
    return { ...openXdpSockets(link, settings, holder, onEvent, whole), restore }
  } catch (error) {
    restore?.()
    throw error
  }
}

function openXdpSockets(
  link: Link,
  settings: Settings,
  holder: number,
  onEvent: () => void,
  whole: boolean,
): Way {
  link.watch()
  const { frames, batch, transmitOnly } = settings
  const several = whole && queueCount(link.interface.name) > 1
  const { queueId = several ? 'all' : 0 } = settings
  if (queueId === 'all' && !transmitOnly) return openXdpQueues(link, settings, holder, onEvent)
  const { af_xdp: receiveFrames } = settings.receiveFrames
  const port = new AfXdp(link, settings, queueId === 'all' ? 0 : queueId, receiveFrames, onEvent)
  const way = wayOver(port, link, frames, holder, batch, transmitOnly ? 0 : receiveFrames)
  try {
    port.start()
  } catch (error) {
    // The fill ring's frames have no other owner now.
    tableOf(frames).slots.freeAll(holder)
    throw error
  }
  return way
}

/**
 * The two halves of a queue on a port.
 *
 * @param holder owns the frames that wait to receive, and holder + 1 the sent ones (lib/ring/slots.ts)
 * @param target how many frames stand ready to receive into
 */
export function wayOver(
  port: Port,
  link: Link,
  frames: FramePool,
  holder: number,
  batch: number,
  target: number,
): Way {
  const table = tableOf(frames)
  const { bytes } = frames.arena
  return {
    port,
    receiver: new Receiver(port, link, table, bytes, holder, new Int32Array(batch), target),
    transmitter: new Transmitter(port, link, table, bytes, holder + 1),
  }
}

function openRaw(
  link: Link,
  settings: Settings,
  holder: number,
  onEvent: () => void,
  notUsed: WayReport['notUsed'],
): Way {
  const { frames, batch, filter } = settings
  const program = filter === undefined ? undefined : compileFilter(filter, 'wire')
  if (program) refuseMetadata(program, filter as string, 'a raw packet queue pair')
  const rdma = settings.rdma ?? portBehind(link.interface.name, settings.device)
  const port = new RawPacket(link.interface, rdma, settings, onEvent, notUsed)
  const rdmaLink = new RdmaLink(link.interface, port)
  const way: Way = { ...wayOver(port, rdmaLink, frames, holder, batch, port.receiveDepth), link: rdmaLink }
  const table = tableOf(frames)
  try {
    port.start()
  } catch (error) {
    table.slots.freeAll(holder)
    throw error
  }
  if (!program) return way
  const filtered = new FilteredReceiver(way.receiver, program, table, frames.arena.bytes, batch)
  port.unwanted = filtered
  return { ...way, receiver: filtered, restore: () => filtered.close() }
}

function openPacket(
  link: Link,
  settings: Settings,
  holder: number,
  onEvent: () => void,
  notUsed: WayReport['notUsed'],
): Way {
  link.watch()
  const { frames, batch, transmitOnly, receiveFrames } = settings
  const port = new AfPacket(link.interface, settings, onEvent, notUsed)
  return wayOver(port, link, frames, holder, batch, transmitOnly ? 0 : receiveFrames.af_packet)
}
