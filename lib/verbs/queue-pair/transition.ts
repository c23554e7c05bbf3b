import type { QueuePairState, QueuePairType } from '../constants.js'
import type { QueuePairAttributes } from './attributes.js'

/** The attributes of a transition. */
type AttributeName = Exclude<keyof QueuePairAttributes, 'state'>

interface Transition {
  required: AttributeName[]
  optional: AttributeName[]
}

type Transitions = Partial<Record<`${QueuePairState}>${QueuePairState}`, Transition>>

// IBA specification 1.4, section 11.2.5.2, as ib_core checks it (qp_state_table in drivers/infiniband/core/verbs.c).
// RESET and ERR follow any state and take no attributes, except that RESET → ERR does not exist.
const connected: AttributeName[] = ['pkeyIndex', 'port', 'access']
const connectedTable: Transitions = {
  'RESET>INIT': { required: connected, optional: [] },
  'INIT>INIT': { required: [], optional: connected },
  'RTR>RTS': { required: ['sqPsn'], optional: ['currentState', 'access'] },
  'RTS>RTS': { required: [], optional: ['currentState', 'access'] },
  'RTS>SQD': { required: [], optional: [] },
  'SQD>RTS': { required: [], optional: ['currentState', 'access'] },
  'SQE>RTS': { required: [], optional: ['currentState', 'access'] },
}

const tables: Record<QueuePairType, Transitions> = {
  UC: {
    ...connectedTable,
    'INIT>RTR': {
      required: ['addressVector', 'pathMtu', 'destQpNum', 'rqPsn'],
      optional: ['access', 'pkeyIndex'],
    },
    'SQD>SQD': { required: [], optional: ['addressVector', 'access', 'pkeyIndex'] },
  },
  RC: {
    ...connectedTable,
    'INIT>RTR': {
      required: ['addressVector', 'pathMtu', 'destQpNum', 'rqPsn', 'maxDestRdAtomic', 'minRnrTimer'],
      optional: ['access', 'pkeyIndex'],
    },
    'RTR>RTS': {
      required: ['timeout', 'retryCount', 'rnrRetry', 'sqPsn', 'maxRdAtomic'],
      optional: ['currentState', 'access', 'minRnrTimer'],
    },
    'RTS>RTS': { required: [], optional: ['currentState', 'access', 'minRnrTimer'] },
    'SQD>RTS': { required: [], optional: ['currentState', 'access', 'minRnrTimer'] },
    'SQD>SQD': {
      required: [],
      optional: [
        'port',
        'addressVector',
        'timeout',
        'retryCount',
        'rnrRetry',
        'maxRdAtomic',
        'maxDestRdAtomic',
        'access',
        'pkeyIndex',
        'minRnrTimer',
      ],
    },
  },
  UD: {
    'RESET>INIT': { required: ['pkeyIndex', 'port', 'qkey'], optional: [] },
    'INIT>INIT': { required: [], optional: ['pkeyIndex', 'port', 'qkey'] },
    'INIT>RTR': { required: [], optional: ['pkeyIndex', 'qkey'] },
    'RTR>RTS': { required: ['sqPsn'], optional: ['currentState', 'qkey'] },
    'RTS>RTS': { required: [], optional: ['currentState', 'qkey'] },
    'RTS>SQD': { required: [], optional: [] },
    'SQD>RTS': { required: [], optional: ['currentState', 'qkey'] },
    'SQD>SQD': { required: [], optional: ['pkeyIndex', 'qkey'] },
    'SQE>RTS': { required: [], optional: ['currentState', 'qkey'] },
  },
  RAW_PACKET: {
    'RESET>INIT': { required: ['port'], optional: [] },
    'INIT>INIT': { required: [], optional: [] },
    'INIT>RTR': { required: [], optional: [] },
    'RTR>RTS': { required: [], optional: ['currentState'] },
    'RTS>RTS': { required: [], optional: ['currentState'] },
    'RTS>SQD': { required: [], optional: [] },
    'SQD>RTS': { required: [], optional: ['currentState'] },
    'SQE>RTS': { required: [], optional: ['currentState'] },
  },
}

/**
 * What is wrong with a transition, for which the kernel says only EINVAL: a state that cannot be reached, an attribute
 * that is missing or does not belong. Empty if nothing is wrong.
 */
export function diagnose(type: QueuePairType, from: QueuePairState, attributes: QueuePairAttributes): string {
  const { state: to = from, ...others } = attributes
  const { currentState = from } = others
  // Some kernels trust currentState: rxe of Linux 6.1 then goes from INIT to RTS without a peer.
  if (currentState !== from) {
    return `the queue pair is in ${from}, not in ${currentState} as currentState says`
  }
  const given = (Object.keys(others) as AttributeName[]).filter((name) => others[name] !== undefined)
  const name = `${from} → ${to} of a${type === 'RC' ? 'n' : ''} ${type} queue pair`
  const always: QueuePairState[] = from === 'RESET' ? ['RESET'] : ['RESET', 'ERR']
  const transition = always.includes(to) ? { required: [], optional: [] } : tables[type][`${from}>${to}`]
  if (!transition) {
    const reachable = Object.keys(tables[type])
      .filter((key) => key.startsWith(`${from}>`))
      .map((key) => key.slice(from.length + 1))
    return `there is no transition ${name}: from ${from} it can go to ${[...new Set([...reachable, ...always])].join(', ')}`
  }
  const missing = transition.required.filter((attribute) => !given.includes(attribute))
  if (missing.length > 0) return `${name} needs ${missing.join(', ')}`
  const allowed = [...transition.required, ...transition.optional]
  const illegal = given.filter((attribute) => !allowed.includes(attribute))
  if (illegal.length > 0) {
    return `${name} does not take ${illegal.join(', ')} (it takes ${allowed.join(', ') || 'no attributes'})`
  }
  return ''
}
