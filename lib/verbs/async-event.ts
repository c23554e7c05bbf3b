import type { CompletionQueue } from './completion-queue.js'
import { EventTypes, nameOf, PortEvents, QueuePairEvents } from './constants.js'
import type { QueuePair } from './queue-pair/queue-pair.js'

/**
 * An asynchronous event of a device (ibv_get_async_event(3)); `type` is the name of the ibv_event_type without its
 * IBV_EVENT_ prefix, and says what else there is.
 */
export type AsyncEvent = PortEvent | QueuePairEvent | CompletionQueueEvent | DeviceEvent

/** Of a port: its link, its addresses, or what a subnet manager changed. */
export interface PortEvent {
  type: keyof typeof PortEvents
  /** From 1. */
  port: number
}

/** Of a queue pair: it failed or got ready, or its path changed. */
export interface QueuePairEvent {
  type: keyof typeof QueuePairEvents
  /** The same object that was created; undefined when it was closed meanwhile. */
  queuePair: QueuePair | undefined
}

/** A completion queue is broken: all that it still had to tell is lost. */
export interface CompletionQueueEvent {
  type: 'CQ_ERR'
  /** The same object that was created; undefined when it was closed meanwhile. */
  completionQueue: CompletionQueue | undefined
}

/** Of the device as a whole: it is gone, ports of it run at another speed now, or something that this version of the package has no name for. */
export interface DeviceEvent {
  type: 'DEVICE_FATAL' | 'DEVICE_SPEED_CHANGE' | `UNKNOWN_${number}`
}

/** What the binding reports, as an event. `find` gives the object behind a handle, if it is still there. */
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
  return { type: name }
}

function isOneOf<T extends object>(enumeration: T, name: string): name is keyof T & string {
  return Object.hasOwn(enumeration, name)
}
