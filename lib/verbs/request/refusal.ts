import { VerbsError } from '../../errors.js'
import { nameOf, QueuePairStates } from '../constants.js'
import { Control, Send, WorkRequestOpcode } from './records.js'
import { longestWords, type RequestRing } from './ring.js'

/** Limits of the queue pair, for the words of a refusal. */
interface Limits {
  readonly capabilities: { readonly maxInline: number }
  readonly longestMessage: number
}

/** Reasons that do not lie in the request: it stays in the ring for another try. */
const wrongState = 2
const ENOMEM = 12

/**
 * Removes from a ring the requests that the device accepted, and the one that it refused unless that can be tried
 * again.
 *
 * @param syscall the call that refused the request
 * @returns the reason, with the request's cookie; null if no request was refused
 */
export function takeRefused(
  ring: RequestRing,
  accepted: number,
  syscall: string,
  limits: Limits,
): VerbsError | null {
  ring.advance(accepted)
  const { control } = ring
  const errno = control[Control.errno]
  if (errno === 0) return null
  const reason = control[Control.reason]
  const error = new VerbsError(errno, syscall, words(reason, control[Control.detail], syscall, limits))
  error.cookie = ring.words[ring.first * ring.stride + Send.cookie]
  if (!isRetriable(reason, errno)) ring.advance(1)
  return error
}

function isRetriable(reason: number, errno: number): boolean {
  return reason === wrongState || (reason === 1 && errno === ENOMEM)
}

/** @param reason enum Refusal, binding/verbs/records.h */
function words(reason: number, detail: number, syscall: string, limits: Limits): string {
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
      return `${detail} bytes inline: the most is ${limits.capabilities.maxInline}; create the queue pair with a larger maxInline`
    case 9:
      return 'the address handle is closed or of another protection domain'
    case 10:
      return detail
        ? 'the 8 bytes of an atomic must be one element: this device’s library would write all of them into the first'
        : 'an atomic takes exactly 8 bytes'
    case 11:
      return 'only a queue pair of type RAW_PACKET has the device compute checksums'
    case 12:
      return `${detail} bytes are more than ${limits.longestMessage}${longestWords}`
    case 13:
      return `element ${detail} names a memory region without LOCAL_WRITE, to which this request writes`
    default:
      return ''
  }
}
