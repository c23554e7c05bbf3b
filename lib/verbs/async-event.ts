import { type EventType, EventTypes, nameOf } from './constants.js'

/** An asynchronous event of a device (ibv_get_async_event(3)). */
export interface AsyncEvent {
  /** Name of the ibv_event_type without its IBV_EVENT_ prefix, such as 'PORT_ERR'. */
  type: EventType
  /** Port number, for PORT_ACTIVE, PORT_ERR, LID_CHANGE, PKEY_CHANGE, GID_CHANGE and their like. */
  port?: number
  /** The queue pair that it concerns: the same object that was created. */
  queuePair?: object
  /** The completion queue that it concerns. */
  completionQueue?: object
}

const portEvents = new Set(['PORT_ACTIVE', 'PORT_ERR', 'LID_CHANGE', 'PKEY_CHANGE', 'SM_CHANGE'])
portEvents.add('CLIENT_REREGISTER').add('GID_CHANGE')

/** What the binding reports, as an event. `find` gives the object behind a handle, if it is still there. */
export function asyncEvent(
  type: number,
  subject: number,
  find: (handle: number) => object | undefined,
): AsyncEvent {
  const name = nameOf(EventTypes, type)
  if (portEvents.has(name)) return { type: name, port: subject }
  if (subject === 0) return { type: name }
  return name === 'CQ_ERR'
    ? { type: name, completionQueue: find(subject) }
    : { type: name, queuePair: find(subject) }
}
