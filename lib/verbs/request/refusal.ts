import { VerbsError } from '../../errors.js'
import { nameOf, QueuePairStates } from '../constants.js'
import { Control, WorkRequestOpcode } from './records.js'
import { longestWords } from './ring.js'

/** Limits of the queue pair, for the words of a refusal. */
interface Limits {
  readonly capabilities: { readonly maxInline: number }
  readonly longestMessage: number
}

/** Why a request is refused: enum Refusal, binding/verbs/records.h. */
export const Refusal = {
  byProvider: 1,
  wrongState: 2,
  badOpcode: 3,
  tooManyElements: 4,
  staleRegion: 5,
  foreignRegion: 6,
  outOfBounds: 7,
  inlineTooLong: 8,
  badAddressHandle: 9,
  badAtomic: 10,
  noChecksum: 11,
  tooLong: 12,
  notWritable: 13,
} as const

/** Why the binding refused a request at the last submit, with the request's cookie; null if it refused none. */
export function refusalOf(control: Uint32Array, limits: Limits): VerbsError | null {
  const errno = control[Control.errno]
  if (errno === 0) return null
  const syscall = control[Control.isReceive] ? 'ibv_post_recv' : 'ibv_post_send'
  const why = words(control[Control.reason], control[Control.detail], syscall, limits)
  const error = new VerbsError(errno, syscall, why)
  error.cookie = control[Control.cookie]
  return error
}

/** @param reason {@link Refusal} */
function words(reason: number, detail: number, syscall: string, limits: Limits): string {
  switch (reason) {
    case Refusal.wrongState: {
      const needed =
        syscall === 'ibv_post_send' ? 'RTS: connect() it first' : 'INIT or later: connect() it first'
      return `the queue pair is in ${nameOf(QueuePairStates, detail)} and must be in ${needed}`
    }
    case Refusal.badOpcode:
      return `the opcode ${nameOf(WorkRequestOpcode, detail)} is not one that this type of queue pair has, or not inline`
    case Refusal.tooManyElements:
      return `${detail} scatter/gather elements are more than the queue pair was created for`
    case Refusal.staleRegion:
      return `element ${detail} names a memory region that is closed`
    case Refusal.foreignRegion:
      return `element ${detail} names a memory region of another protection domain`
    case Refusal.outOfBounds:
      return `element ${detail} reaches outside its memory region`
    case Refusal.inlineTooLong:
      return `${detail} bytes inline: the most is ${limits.capabilities.maxInline}; create the queue pair with a larger maxInline`
    case Refusal.badAddressHandle:
      return 'the address handle is closed or of another protection domain'
    case Refusal.badAtomic:
      return detail
        ? 'the 8 bytes of an atomic must be one element: this device’s library would write all of them into the first'
        : 'an atomic takes exactly 8 bytes'
    case Refusal.noChecksum:
      return 'only a queue pair of type RAW_PACKET has the device compute checksums'
    case Refusal.tooLong:
      return `${detail} bytes are more than ${limits.longestMessage}${longestWords}`
    case Refusal.notWritable:
      return `element ${detail} names a memory region without LOCAL_WRITE, to which this request writes`
    default:
      return ''
  }
}
