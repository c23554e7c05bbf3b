import { ownCopy, plainAccess } from '../../hot/own-copy.js'
import type { CompletionDriver, DrivenCompletionQueue } from '../../verbs/completion-driver.js'
import { CompletionFlag, CompletionOpcode, CompletionStatus } from '../../verbs/constants.js'
import { Completion, Control } from '../../verbs/request/records.js'
import type { HotMessageCompletions, MessageCompletionParts, MessagePair } from '../hot/parts.js'
import { MessageFields, MessageState, RequestInfo } from '../hot/state.js'
import { errorCqe, requesterCqe } from '../layout/completion.js'
import { CqeOpcode, CqeSyndrome } from '../layout/names.js'
import { ArmMailbox } from '../native.js'
import { consumerMask, recordSetter } from '../record.js'
import type { RingMemory } from '../ring-memory.js'
import { type CompletionRing, completionRing } from '../rings.js'
import { Arming } from './arming.js'
import { ringBytes } from './ring-bytes.js'

/** IBV_WC_WITH_INV: a peer's send has invalidated a key, which no call of this package asks for. */
const WITH_INV = 8

/** ibv_wc_status by syndrome, as mlx5_handle_error_cqe has them (providers/mlx5/cq.c). */
const statusOf = new Int32Array(256).fill(CompletionStatus.GENERAL_ERR)
const statuses = {
  [CqeSyndrome.LOCAL_LENGTH_ERR]: CompletionStatus.LOC_LEN_ERR,
  [CqeSyndrome.LOCAL_QP_OP_ERR]: CompletionStatus.LOC_QP_OP_ERR,
  [CqeSyndrome.LOCAL_PROT_ERR]: CompletionStatus.LOC_PROT_ERR,
  [CqeSyndrome.WR_FLUSH_ERR]: CompletionStatus.WR_FLUSH_ERR,
  [CqeSyndrome.BAD_RESP_ERR]: CompletionStatus.BAD_RESP_ERR,
  [CqeSyndrome.LOCAL_ACCESS_ERR]: CompletionStatus.LOC_ACCESS_ERR,
  [CqeSyndrome.REMOTE_INVAL_REQ_ERR]: CompletionStatus.REM_INV_REQ_ERR,
  [CqeSyndrome.REMOTE_ACCESS_ERR]: CompletionStatus.REM_ACCESS_ERR,
  [CqeSyndrome.REMOTE_OP_ERR]: CompletionStatus.REM_OP_ERR,
  [CqeSyndrome.TRANSPORT_RETRY_EXC_ERR]: CompletionStatus.RETRY_EXC_ERR,
  [CqeSyndrome.RNR_RETRY_EXC_ERR]: CompletionStatus.RNR_RETRY_EXC_ERR,
  [CqeSyndrome.REMOTE_ABORTED_ERR]: CompletionStatus.REM_ABORT_ERR,
}
for (const [syndrome, status] of Object.entries(statuses)) statusOf[Number(syndrome)] = status

/** A queue pair that uses a completion queue. */
interface Attached {
  pair: MessagePair
  isGone: () => boolean
}

/** What reads the ring of a completion queue for its queue pairs. */
export class MessageCompletions implements CompletionDriver {
  readonly poll: () => number
  readonly #forget: () => void
  readonly #queue: CompletionRing
  readonly #arming: Arming
  readonly #pairs = new Map<number, Attached>()
  /** Queue pairs at which those that are gone are looked for. */
  #sweepAt = 16

  constructor(memory: RingMemory, { handle, columns, batch, closed }: DrivenCompletionQueue) {
    this.#queue = completionRing(memory, handle)
    const { ring, mailbox } = this.#queue
    mailbox[ArmMailbox.driven] = 1
    const compile = ownCopy<(parts: MessageCompletionParts) => HotMessageCompletions>(
      new URL('../hot/message-completions.cjs', import.meta.url),
    )
    const { poll, forget } = compile({
      ...{ plain: plainAccess, mailbox, columns, batch, closed, statusOf },
      ring: ringBytes(ring),
      pairOf: (number) => this.#pairs.get(number)?.pair,
      setConsumerIndex: recordSetter(ring.record, consumerMask),
      fields: MessageFields,
      opcodes: CompletionOpcode,
      flags: { ...CompletionFlag, WITH_INV },
      ...{ ArmMailbox, MessageState, RequestInfo, Control, Completion },
    })
    this.poll = poll
    this.#forget = forget
    this.#arming = new Arming(this.#queue, () => mailbox[ArmMailbox.consumer])
  }

  arm(solicitedOnly: boolean): void {
    this.#arming.ask(solicitedOnly)
  }

  /** Entries of this queue pair come from now on; those of one that had its number before are gone (binding: clean()). */
  attach(number: number, pair: MessagePair, isGone: () => boolean): void {
    if (this.#pairs.size >= this.#sweepAt) {
      for (const [other, attached] of this.#pairs) if (attached.isGone()) this.#pairs.delete(other)
      this.#sweepAt = Math.max(16, 2 * this.#pairs.size)
    }
    this.#pairs.set(number, { pair, isGone })
    this.#forget()
  }

  /**
   * Whether the send request that begins at this place of the ring has completed, though nobody has polled it yet.
   *
   * @param mask of places in the queue pair's ring
   */
  tellsOf(number: number, place: number, mask: number): boolean {
    const { ring, mailbox } = this.#queue
    const { view, count, stride } = ring
    const { opcode, owner, wqeCounter, queuePairNumber } = requesterCqe.fields
    for (let i = 0; i < count; i++) {
      const index = mailbox[ArmMailbox.consumer] + i
      const at = (index & (count - 1)) * stride + stride - errorCqe.length
      const own = view.getUint8(at + owner.offset)
      const kind = own >> opcode.low
      if (kind === CqeOpcode.INVALID || (own & 1) !== ((index & count) === 0 ? 0 : 1)) return false
      if ((view.getUint32(at + queuePairNumber.offset) & 0xffffff) !== number) continue
      if (kind !== CqeOpcode.REQ && kind !== CqeOpcode.REQ_ERR) continue
      if ((view.getUint16(at + wqeCounter.offset) & mask) === place) return true
    }
    return false
  }
}
