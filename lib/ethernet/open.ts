import { rangeError } from '../argument.js'
import { compileFilter, refuseMetadata } from '../filter/compile.js'
import { AfPacket } from './af-packet/port.js'
import { Receiver } from './af-packet/receiver.js'
import { Transmitter } from './af-packet/transmitter.js'
import { AfXdp } from './af-xdp/port.js'
import { openXdpQueues } from './af-xdp/queues.js'
import { XdpReceiver } from './af-xdp/receiver.js'
import type { XdpPort } from './af-xdp/rings.js'
import { xdpObstacle } from './af-xdp/setup.js'
import { XdpTransmitter } from './af-xdp/transmitter.js'
import { FilteredReceiver } from './filtered-receiver.js'
import { type FramePool, tableOf } from './frames.js'
import { queueCount } from './interface/channels.js'
import type { Device } from './interface/device.js'
import { setUpNic } from './interface/nic-setup.js'
import type { Settings } from './options.js'
import type { Backend, Way } from './port.js'
import { RawDevice, RawPacket, rawObstacle } from './raw-packet/port.js'
import { portBehind } from './raw-packet/rdma-port.js'
import { RawReceiver } from './raw-packet/receiver.js'
import { RawTransmitter } from './raw-packet/transmitter.js'
import type { WayReport } from './report.js'

/**
 * The backend that was asked for, or else the best that works.
 *
 * AF_XDP takes frames away from the kernel's network stack. That is not what somebody expects who just opens a queue (a
 * host that stops to answer ARP), so without being asked by
 * name or by `exclusive` a queue is AF_PACKET's. `exclusive` alone takes all receive queues of a device, `backend:
 * 'af_xdp'` the first.
 *
 * @param holder who has the queue's frames (lib/ring/slots.ts)
 */
export function chooseBackend(device: Device, settings: Settings, holder: number, onEvent: () => void): Way {
  if (settings.backend === 'af_xdp') return openXdp(device, settings, holder, onEvent)
  const notUsed: WayReport['notUsed'][number][] = []
  if (settings.backend === 'raw_packet_qp') return openRaw(device, settings, holder, onEvent, notUsed)
  if (settings.backend === undefined) {
    const why = settings.exclusive
      ? tryXdp(device, settings, holder, onEvent)
      : "it takes frames away from the kernel: ask for it with backend: 'af_xdp' or exclusive: true"
    if (typeof why !== 'string') return why
    if (settings.exclusive) {
      const what = `"${device.interface.name}": exclusive: true is AF_PACKET here, and the kernel sees the frames too: ${why}`
      process.emitWarning(what, { type: 'IbverbsWarning', code: 'IBVERBS_NOT_EXCLUSIVE' })
    }
    notUsed.push({ what: 'af_xdp', why })
  }
  return openPacket(device, settings, holder, onEvent, notUsed)
}

/** AF_XDP, or the reason why not. */
function tryXdp(device: Device, settings: Settings, holder: number, onEvent: () => void): Way | string {
  const obstacle = xdpObstacle(settings)
  // A number that can be another is no reason to leave the frames to the kernel, which `exclusive` is to prevent.
  if (obstacle && !obstacle.size && settings.queueId === undefined)
    return `options.${obstacle.option} must be ${obstacle.expected}`
  try {
    return openXdp(device, settings, holder, onEvent, settings.queueId === undefined)
  } catch (error) {
    // Who names a queue of the device wants no backend that has none.
    if (settings.queueId !== undefined || obstacle?.size) throw error
    return (error as Error).message
  }
}

/** @param whole on all receive queues of the device, unless one is named */
function openXdp(
  device: Device,
  settings: Settings,
  holder: number,
  onEvent: () => void,
  whole = false,
): Way {
  const obstacle = xdpObstacle(settings)
  if (obstacle) throw rangeError(`options.${obstacle.option}`, obstacle.expected, obstacle.value)
  const restore = setUpNic(device.interface, settings)
  try {
    return { ...openXdpSockets(device, settings, holder, onEvent, whole), restore }
  } catch (error) {
    restore?.()
    throw error
  }
}

function openXdpSockets(
  device: Device,
  settings: Settings,
  holder: number,
  onEvent: () => void,
  whole: boolean,
): Way {
  device.watch()
  const { frames, batch, transmitOnly } = settings
  const several = whole && queueCount(device.interface.name) > 1
  const { queueId = several ? 'all' : 0 } = settings
  if (queueId === 'all' && !transmitOnly) return openXdpQueues(device, settings, holder, onEvent)
  const target = transmitOnly ? 0 : settings.receiveFrames.af_xdp
  const backend = new AfXdp(
    device,
    settings,
    queueId === 'all' ? 0 : queueId,
    settings.receiveFrames.af_xdp,
    onEvent,
  )
  const ends = xdpEnds(backend, device, frames, holder, batch, target)
  try {
    backend.start()
  } catch (error) {
    // What the fill ring holds is nobody's again.
    tableOf(frames).slots.freeAll(holder)
    throw error
  }
  return ends
}

/** The two halves of a queue on AF_XDP's rings. */
export function xdpEnds(
  backend: Backend & XdpPort,
  device: Device,
  frames: FramePool,
  holder: number,
  batch: number,
  target: number,
): Way {
  const table = tableOf(frames)
  const { bytes } = frames.arena
  return {
    backend,
    receiver: new XdpReceiver(backend, device, table, bytes, holder, new Int32Array(batch), target),
    transmitter: new XdpTransmitter(backend, device, table, bytes, holder + 1),
  }
}

function openRaw(
  device: Device,
  settings: Settings,
  holder: number,
  onEvent: () => void,
  notUsed: WayReport['notUsed'],
): Way {
  const obstacle = rawObstacle(settings)
  if (obstacle) throw rangeError(`options.${obstacle.option}`, obstacle.expected, obstacle.value)
  const { frames, batch, filter } = settings
  const program = filter === undefined ? undefined : compileFilter(filter, 'wire')
  if (program) refuseMetadata(program, filter as string, 'a raw packet queue pair')
  const port = settings.rdma ?? portBehind(device.interface.name, settings.device)
  const table = tableOf(frames)
  const backend = new RawPacket(device.interface, port, settings, onEvent, notUsed)
  const state = new RawDevice(device.interface, backend)
  const receiver = new RawReceiver(backend, state, table, holder, batch, backend.receiveDepth)
  const transmitter = new RawTransmitter(
    backend,
    state,
    table,
    frames.arena.bytes,
    holder + 1,
    backend.checksums,
  )
  try {
    backend.start()
  } catch (error) {
    table.slots.freeAll(holder)
    throw error
  }
  if (!program) return { backend, receiver, transmitter, device: state }
  const filtered = new FilteredReceiver(receiver, program, table, frames.arena.bytes, batch)
  backend.unwanted = filtered
  return { backend, receiver: filtered, transmitter, device: state, restore: () => filtered.close() }
}

function openPacket(
  device: Device,
  settings: Settings,
  holder: number,
  onEvent: () => void,
  notUsed: WayReport['notUsed'],
): Way {
  device.watch()
  const { frames, batch, transmitOnly } = settings
  const table = tableOf(frames)
  const target = settings.receiveFrames.af_packet
  const backend = new AfPacket(device.interface, settings, onEvent, notUsed)
  return {
    backend,
    receiver: new Receiver(backend, device, table, holder, batch, transmitOnly ? 0 : target),
    transmitter: new Transmitter(backend, device, table, holder + 1),
  }
}
