import { VerbsError } from '../../errors.js'
import { nameOf, QueuePairStates } from '../constants.js'
import { WorkRequestOpcode } from './records.js'
import { longestWords } from './ring.js'

/** What the binding needs to know of a refused request to say why. */
export interface RefusedRequest {
  errno: number
  /** enum Refusal, binding/verbs/records.h */
  reason: number
  detail: number
  syscall: string
  cookie: number
  maxInline: number
  longestMessage: number
}

/** Reasons that are not the request's own fault: it stays in the queue and can be tried again. */
const wrongState = 2
const ENOMEM = 12

/** Whether the request stays for another try. */
export function isRetriable(reason: number, errno: number): boolean {
  return reason === wrongState || (reason === 1 && errno === ENOMEM)
}

/** The error of a request that was refused, with its cookie. */
export function refusalError(refused: RefusedRequest): VerbsError {
  const error = new VerbsError(refused.errno, refused.syscall, words(refused))
  error.cookie = refused.cookie
  return error
}

function words({ reason, detail, maxInline, longestMessage, syscall }: RefusedRequest): string {
  switch (reason) {
    case wrongState: {
      const needed =
        syscall === 'ibv_post_send' ? 'RTS: connect() it first' : 'INIT or later: connect() it first'
      return `the queue pair is in ${nameOf(QueuePairStates, detail)} and must be in ${needed}`
    }
    case 3:
      return `the opcode ${nameOf(WorkRequestOpcode, detail)} is not one that this type of queue pair has, or not inline`
    case 4:
      return `${detail} scatter/gather elements are more than the queue pair was created for`
    case 5:
      return `element ${detail} names a memory region that is closed`
    case 6:
      return `element ${detail} names a memory region of another protection domain`
    case 7:
      return `element ${detail} reaches outside its memory region`
    case 8:
      return `${detail} bytes inline: the most is ${maxInline}; create the queue pair with a larger maxInline`
    case 9:
      return 'the address handle is closed or of another protection domain'
    case 10:
      return detail
        ? 'the 8 bytes of an atomic must be one element: this device’s library would write all of them into the first'
        : 'an atomic takes exactly 8 bytes'
    case 11:
      return 'only a queue pair of type RAW_PACKET has the device compute checksums'
    case 12:
      return `${detail} bytes are more than ${longestMessage}${longestWords}`
    case 13:
      return `element ${detail} names a memory region without LOCAL_WRITE, to which this request writes`
    default:
      return ''
  }
}
