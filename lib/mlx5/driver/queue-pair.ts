import { constants } from 'node:os'
import { ownCopy } from '../../hot/own-copy.js'
import { cells } from '../../ring/ring.js'
import { CompletionOpcode, QueuePairStates } from '../../verbs/constants.js'
import type { DomainMembers } from '../../verbs/domain-members.js'
import type { CreatedQueuePair } from '../../verbs/queue-pair/created.js'
import type { QueuePairDriver } from '../../verbs/queue-pair/driver.js'
import { Control, Receive, Send, SendFlag, WorkRequestOpcode } from '../../verbs/request/records.js'
import { Refusal } from '../../verbs/request/refusal.js'
import type { RequestRing } from '../../verbs/request/ring.js'
import type {
  MessagePair,
  MessageReceiveParts,
  MessageSendParts,
  MessageSubmitParts,
  RecordRing,
} from '../hot/parts.js'
import { MessageFields, MessageState, RegionLine, RequestInfo, RequestKind } from '../hot/state.js'
import { invalidLkey, SendOpcode, segmentUnit } from '../layout/names.js'
import {
  atomicSegment,
  controlSegment,
  datagramSegment,
  remoteAddressSegment,
} from '../layout/send-request.js'
import { SendMailbox } from '../native.js'
import { receiveMask, recordSetter } from '../record.js'
import type { RingMemory } from '../ring-memory.js'
import { queuePairRings } from '../rings.js'
import { bigEndian } from './big-endian.js'
import type { MessageCompletions } from './completion-queue.js'
import { regionTable, vectorTable } from './domain-tables.js'
import { ringBytes } from './ring-bytes.js'

const { EINVAL, ENOMEM, EMSGSIZE } = constants.errno

/** The completion queues of a queue pair, by their drivers. */
interface Completions {
  sends: MessageCompletions
  receives: MessageCompletions
}

/** Drives the rings of a queue pair: makes requests of the device out of the records that posts write. */
export function messageQueuePair(
  memory: RingMemory,
  members: DomainMembers,
  created: CreatedQueuePair,
  completions: Completions,
): QueuePairDriver {
  const { type, sizes, capabilities, longestMessage, longestReceive } = created
  const { control, send, receive } = created.rings
  const number = created.endpoint.queuePairNumber
  const { rings, bell } = queuePairRings(memory, created.handle, number)
  const { mailbox } = bell
  const state = cells(MessageState.words)
  const receiveCookies = new Uint32Array(cells(rings.receive.count).buffer)
  const pair: MessagePair = {
    ...{ state, control },
    numberAt: cells(rings.send.count),
    behindAt: cells(rings.send.count),
    cookieAt: new Uint32Array(cells(rings.send.count).buffer),
    infoAt: cells(rings.send.count),
    blockMask: rings.send.count - 1,
    receiveCookies,
    receiveMask: rings.receive.count - 1,
  }
  const refuse: MessageSendParts['refuse'] = (errno, reason, detail, cookie, isReceive) => {
    if (control[Control.errno] !== 0) return
    control[Control.errno] = errno
    control[Control.reason] = reason
    control[Control.detail] = detail
    control[Control.cookie] = cookie
    control[Control.isReceive] = isReceive
  }
  const regions = regionTable(members)
  const common = {
    ...{ state, control, refuse, ...regions },
    errno: { EINVAL, ENOMEM, EMSGSIZE },
    ...{ Refusal, RegionLine, MessageState, Control },
  }
  const compileSends = ownCopy<(parts: MessageSendParts) => () => number>(
    new URL('../hot/message-sends.cjs', import.meta.url),
  )
  const compileReceives = ownCopy<(parts: MessageReceiveParts) => () => number>(
    new URL('../hot/message-receives.cjs', import.meta.url),
  )
  const compileSubmit = ownCopy<(parts: MessageSubmitParts) => () => void>(
    new URL('../hot/message-submit.cjs', import.meta.url),
  )
  const sends = compileSends({
    ...pair,
    ...common,
    ...vectorTable(members),
    ...{ mailbox, bell: bell.ring, number, blueFlame: rings.blueFlame },
    records: recordRing(send),
    ring: ringBytes(rings.send),
    kinds: kindsOf(type),
    datagram: type === 'UD',
    maxElements: sizes.maxSendSge,
    maxInline: capabilities.maxInline,
    longest: longestMessage,
    depth: sizes.maxSendWr,
    readyToSend: QueuePairStates.RTS,
    fields: MessageFields,
    ...{ Send, SendFlag, RequestKind, RequestInfo, SendMailbox },
  })
  const receives = compileReceives({
    ...common,
    records: recordRing(receive),
    ring: ringBytes(rings.receive),
    cookies: receiveCookies,
    setProducerIndex: recordSetter(rings.receive.record, receiveMask),
    maxElements: sizes.maxReceiveSge,
    longest: longestReceive,
    depth: sizes.maxReceiveWr,
    invalidKey: bigEndian(invalidLkey),
    Receive,
  })
  const isGone = (): boolean => mailbox[SendMailbox.gone] !== 0
  for (const queue of new Set([completions.sends, completions.receives])) queue.attach(number, pair, isGone)

  return {
    submit: compileSubmit({ ...{ control, mailbox, receives, sends }, Control, SendMailbox }),
    settled: () =>
      ((state[MessageState.awaited] - state[MessageState.done]) | 0) <= 0 ||
      completions.sends.tellsOf(number, pair.numberAt.indexOf(state[MessageState.awaited]), pair.blockMask),
    told: (device) => {
      state[MessageState.device] = device
    },
    reset: () => {
      // libmlx5 has set both records to 0. What the device had is done; numbers go on, so that what is stale stays so.
      state[MessageState.done] = state[MessageState.sent]
      for (const word of ['block', 'freed', 'unsignalled', 'posted', 'received'] as const) {
        state[MessageState[word]] = 0
      }
    },
  }
}

function recordRing({ words, producer, consumer, records, mask, recordShift }: RequestRing): RecordRing {
  return { words, producer, consumer, first: records, mask, shift: recordShift }
}

/** What the opcodes of verbs are to a queue pair of this type. */
function kindsOf(type: CreatedQueuePair['type']): Int32Array {
  const kinds = cells(8)
  const allow = (
    opcode: keyof typeof WorkRequestOpcode,
    device: number,
    completion: number,
    headBytes: number,
    flags = 0,
  ): void => {
    kinds[WorkRequestOpcode[opcode]] =
      device |
      (completion << RequestKind.completion) |
      ((headBytes / segmentUnit) << RequestKind.segments) |
      flags
  }
  const { SEND, RDMA_WRITE, RDMA_READ, COMP_SWAP, FETCH_ADD } = CompletionOpcode
  const { needsReply, immediate, atomic, swap } = RequestKind
  const head = controlSegment.length + (type === 'UD' ? datagramSegment.length : 0)
  allow('SEND', SendOpcode.SEND, SEND, head)
  allow('SEND_WITH_IMM', SendOpcode.SEND_IMM, SEND, head, immediate)
  if (type === 'UD') return kinds
  const remote = controlSegment.length + remoteAddressSegment.length
  allow('RDMA_WRITE', SendOpcode.RDMA_WRITE, RDMA_WRITE, remote)
  allow('RDMA_WRITE_WITH_IMM', SendOpcode.RDMA_WRITE_IMM, RDMA_WRITE, remote, immediate)
  if (type === 'UC') return kinds
  const operands = remote + atomicSegment.length
  allow('RDMA_READ', SendOpcode.RDMA_READ, RDMA_READ, remote, needsReply)
  allow('ATOMIC_CMP_AND_SWP', SendOpcode.ATOMIC_CS, COMP_SWAP, operands, needsReply | atomic | swap)
  allow('ATOMIC_FETCH_AND_ADD', SendOpcode.ATOMIC_FA, FETCH_ADD, operands, needsReply | atomic)
  return kinds
}
