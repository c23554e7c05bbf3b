import { integer, type Names, object, oneOf, rangeError, typeError, uint32 } from '../../argument.js'
import { accessFlags } from '../access.js'
import { type AddressVector, completeVector } from '../address/address-vector.js'
import {
  type Access,
  AccessFlag,
  mtuBytes,
  mtuCodes,
  nameOf,
  type QueuePairState,
  QueuePairStates,
} from '../constants.js'
import type { DeviceQueries } from '../device-queries.js'
import type { NativeQueuePairAttributes, NativeQueuePairState } from '../native.js'

/**
 * What {@link QueuePair.modify} sets (ibv_qp_attr, ibv_modify_qp(3)); an attribute left out keeps its value. `qkey`,
 * `sqPsn`, `rqPsn` and `destQpNum` have the man page's names; everywhere else these are called `queueKey`,
 * `packetSequenceNumber` and `queuePairNumber`.
 */
export interface QueuePairAttributes {
  /** The state to move to; left out, the state stays. */
  state?: QueuePairState
  /** The state that the caller takes the queue pair to be in (cur_qp_state). */
  currentState?: QueuePairState
  /**
   * What peers may do: REMOTE_WRITE, REMOTE_READ, REMOTE_ATOMIC (and LOCAL_WRITE, which verbs programs set as well).
   */
  access?: Access[]
  /** Index of the partition key. */
  pkeyIndex?: number
  /** Local port, from 1. */
  port?: number
  /** UD: the queue key that senders must use. */
  qkey?: number
  /** The path to the peer (ah_attr). */
  addressVector?: AddressVector
  /** Bytes: 256, 512, 1024, 2048 or 4096. */
  pathMtu?: number
  /** Local ACK timeout: 4.096 µs × 2^timeout, 0 waits for ever; 0 to 31. */
  timeout?: number
  /** Retries before RETRY_EXC_ERR: 0 to 7. */
  retryCount?: number
  /** Retries while the receiver is not ready (RNR) before RNR_RETRY_EXC_ERR: 0 to 7; 7 retries for ever. */
  rnrRetry?: number
  /** Packet sequence number of the first packet to receive: 24 bits. */
  rqPsn?: number
  /** Packet sequence number of the first packet to send: 24 bits. */
  sqPsn?: number
  /** Maximum number of reads and atomics outstanding as initiator. */
  maxRdAtomic?: number
  /** Maximum number of reads and atomics outstanding as responder. */
  maxDestRdAtomic?: number
  /** RNR NAK timer code, ibv_modify_qp(3): 0 (655.36 ms), 1 (0.01 ms) to 31 (491.52 ms). */
  minRnrTimer?: number
  /** Number of the peer's queue pair: 24 bits. */
  destQpNum?: number
}
const queuePairAttributeNames = {
  state: true,
  currentState: true,
  access: true,
  pkeyIndex: true,
  port: true,
  qkey: true,
  addressVector: true,
  pathMtu: true,
  timeout: true,
  retryCount: true,
  rnrRetry: true,
  rqPsn: true,
  sqPsn: true,
  maxRdAtomic: true,
  maxDestRdAtomic: true,
  minRnrTimer: true,
  destQpNum: true,
} as const satisfies Names<QueuePairAttributes>

/** What {@link QueuePair.query} returns: the attributes, and the sizes by the names of ibv_qp_cap. */
export interface QueuePairQuery extends Required<Omit<QueuePairAttributes, 'currentState'>> {
  /** In SQD: sends are still under way, and RTS is refused. */
  sqDraining: boolean
  maxSendWr: number
  maxRecvWr: number
  maxSendSge: number
  maxRecvSge: number
  maxInlineData: number
}

/** Checks attributes and turns them into the binding's numbers. @internal */
export function toNative(
  device: DeviceQueries,
  attributes: QueuePairAttributes,
  argument = 'attributes',
): NativeQueuePairAttributes {
  object(argument, attributes, 'an object', queuePairAttributeNames)
  const result: NativeQueuePairAttributes = {}
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined) continue
    const check = checks[name as keyof typeof checks] as (
      name: string,
      value: unknown,
      device: DeviceQueries,
    ) => never
    result[name as keyof NativeQueuePairAttributes] = check(`${argument}.${name}`, value, device)
  }
  return result
}

const states = Object.keys(QueuePairStates) as QueuePairState[]
const upTo = (high: number) => (name: string, value: unknown) => integer(name, value, 0, high)
const state = (name: string, value: unknown) => QueuePairStates[oneOf(name, value, states)]

const checks = {
  state,
  currentState: state,
  access: (name: string, value: unknown) => accessFlags(name, value as Access[]),
  pkeyIndex(name: string, value: unknown, device: DeviceQueries) {
    const index = integer(name, value, 0, 0xffff)
    // Every port has index 0. For an index that it does not have, the kernel says only EINVAL.
    if (index > 0) assertPartition(name, index, device)
    return index
  },
  port: (name: string, value: unknown, device: DeviceQueries) => integer(name, value, 1, device.portCount),
  qkey: uint32,
  addressVector(name: string, value: unknown, device: DeviceQueries) {
    if (typeof value !== 'object' || value === null) throw typeError(name, 'an address vector', value)
    return completeVector(device, value as AddressVector, name, 'ibv_modify_qp')
  },
  pathMtu(name: string, value: unknown) {
    const code = mtuCodes.get(integer(name, value))
    if (code === undefined) throw rangeError(name, `one of ${[...mtuCodes.keys()].join(', ')}`, value)
    return code
  },
  timeout: upTo(31),
  retryCount: upTo(7),
  rnrRetry: upTo(7),
  rqPsn: upTo(0xffffff),
  sqPsn: upTo(0xffffff),
  maxRdAtomic: upTo(255),
  maxDestRdAtomic: upTo(255),
  minRnrTimer: upTo(31),
  destQpNum: upTo(0xffffff),
} satisfies Record<keyof QueuePairAttributes, unknown>

/** All ports of a device have equally many partition keys. */
function assertPartition(name: string, index: number, device: DeviceQueries): void {
  const most = device.queryPort(1).pkeyTableLength - 1
  if (index <= most) return
  const there = most === 0 ? '0, the only partition key' : `from 0 to ${most}, the partition keys`
  throw rangeError(name, `${there} of ${device.name}`, index)
}

/** Names for the binding's numbers. @internal */
export function fromNative(queried: NativeQueuePairState): QueuePairQuery {
  const { state, access, pathMtu, sqDraining, currentState: _, ...rest } = queried
  return {
    ...rest,
    sqDraining: sqDraining !== 0,
    state: nameOf(QueuePairStates, state),
    access: (Object.keys(AccessFlag) as Access[]).filter((name) => access & AccessFlag[name]),
    pathMtu: pathMtu ? mtuBytes(pathMtu) : 0,
  }
}
