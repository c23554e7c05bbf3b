import { object, rangeError } from '../argument.js'
import { NativeHandle } from '../handle.js'
import { Kind, native } from '../native.js'
import type { CompletionQueue } from './completion-queue.js'
import type { ProtectionDomain } from './protection-domain.js'

/** ibv_wq_state */
const states = { RESET: 0, RDY: 1, ERR: 2 } as const
/** State of a work queue (ibv_modify_wq(3)). */
export type WorkQueueState = keyof typeof states

/** What {@link WorkQueue.modify} changes. */
export interface WorkQueueAttributes {
  /** The new state. */
  state: WorkQueueState
}

/** How a striding work queue's requests are cut (struct mlx5dv_striding_rq_init_attr). */
export interface StridingOptions {
  /** Bytes of a stride: a power of two that `queryDevice(context).striding` allows. */
  strideBytes: number
  /** Strides of a request: a power of two that `queryDevice(context).striding` allows. */
  strides: number
  /** Two zeros lie before each frame, so that its IP header is aligned (two_byte_shift_en). Default false. */
  twoByteShift?: boolean
}

/**
 * A receive queue without a queue pair (ibv_create_wq(3)): frames reach it through an indirection table and an RSS queue
 * pair. `direct()` gives its ring: only who fills that receives.
 */
export class WorkQueue extends NativeHandle {
  readonly domain: ProtectionDomain
  /** Where its completions come. */
  readonly cq: CompletionQueue
  /** Number of the work queue. */
  readonly number: number
  /** How its requests are cut; null where each takes one frame. */
  readonly striding: Readonly<Required<StridingOptions>> | null
  readonly #handle: number

  /** @internal */
  constructor(
    options: Pick<WorkQueue, 'domain' | 'cq' | 'striding'>,
    { handle, number }: { handle: number; number: number },
  ) {
    super(handle, Kind.WorkQueue, 'work queue')
    this.#handle = handle
    this.domain = options.domain
    this.cq = options.cq
    this.striding = options.striding
    this.number = number
  }

  /**
   * ibv_modify_wq(3). A new queue is in RESET, and receives in RDY. From RESET to RDY its requests begin anew: fill its
   * ring after that.
   *
   * @throws VerbsError EINVAL for a transition that does not exist
   */
  modify(attributes: WorkQueueAttributes): void {
    const { state } = object('attributes', attributes, 'an object', { state: true })
    if (!Object.hasOwn(states, state)) throw rangeError('attributes.state', "'RESET', 'RDY' or 'ERR'", state)
    this.assertOpen()
    native.mlx5.modifyWorkQueue(this.#handle, states[state])
  }

  /** @internal */
  protected override describe(): Record<string, unknown> {
    return { number: this.number, striding: this.striding, closed: false }
  }
}
