import type { CompletionQueue } from './completion-queue.js'
import { EventTypes, nameOf, PortEvents, QueuePairEvents } from './constants.js'
import type { QueuePair } from './queue-pair/queue-pair.js'
import type { WorkQueue } from './work-queue.js'

/**
 * An asynchronous event of a device (ibv_get_async_event(3)); `type` is the name of the ibv_event_type without
 * IBV_EVENT_ and determines the other properties.
 */
export type AsyncEvent = PortEvent | QueuePairEvent | CompletionQueueEvent | WorkQueueEvent | DeviceEvent

/** An event of a port: of its link, of its addresses, or a change by the subnet manager. */
export interface PortEvent {
  type: keyof typeof PortEvents
  /** From 1. */
  port: number
}

/** An event of a queue pair: an error, the first packet of a connection, a drained send queue, or path migration. */
export interface QueuePairEvent {
  type: keyof typeof QueuePairEvents
  /** The same object that was created; undefined when it was closed meanwhile. */
  queuePair: QueuePair | undefined
}

/** A completion queue is in error: its remaining completions are lost. */
export interface CompletionQueueEvent {
  type: 'CQ_ERR'
  /** The same object that was created; undefined when it was closed meanwhile. */
  completionQueue: CompletionQueue | undefined
}

/** A work queue of `ibverbs/mlx5` is in error: it receives nothing more. */
export interface WorkQueueEvent {
  type: 'WQ_FATAL'
  /** The same object that was created; undefined when it was closed meanwhile. */
  workQueue: WorkQueue | undefined
}

/**
 * An event of the device as a whole: it is gone, the speed of its ports changed, or an event that this version of the
 * package does not know.
 */
export interface DeviceEvent {
  type: 'DEVICE_FATAL' | 'DEVICE_SPEED_CHANGE' | `UNKNOWN_${number}`
}

/** The event that the binding reports in numbers. `find` returns the object of a handle, if it still exists. */
export function asyncEvent(
  type: number,
  subject: number,
  find: (handle: number) => object | undefined,
): AsyncEvent {
  const name = nameOf(EventTypes, type)
  if (isOneOf(PortEvents, name)) return { type: name, port: subject }
  if (isOneOf(QueuePairEvents, name)) {
    return { type: name, queuePair: find(subject) as QueuePair | undefined }
  }
  if (name === 'CQ_ERR') {
    return { type: name, completionQueue: find(subject) as CompletionQueue | undefined }
  }
  if (name === 'WQ_FATAL') return { type: name, workQueue: find(subject) as WorkQueue | undefined }
  return { type: name }
}

function isOneOf<T extends object>(enumeration: T, name: string): name is keyof T & string {
  return Object.hasOwn(enumeration, name)
}
