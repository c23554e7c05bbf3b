/** Receive-side scaling: frames spread over work queues by a hash of their addresses and ports. */
import { integer, type Names, object, rangeError, typeError } from '../argument.js'
import type { Alternative } from '../flow/alternative.js'
import type { FlowRule } from '../flow/rule.js'
import { idOf, NativeHandle } from '../handle.js'
import { Kind, native } from '../native.js'
import { type DefaultFlow, Flow, type FlowOptions } from '../verbs/flow.js'
import { ProtectionDomain } from '../verbs/protection-domain.js'
import { WorkQueue } from '../verbs/work-queue.js'

/** A table of work queues, which the low bits of a frame's hash index (ibv_create_rwq_ind_table(3)). */
export class IndirectionTable extends NativeHandle {
  readonly queues: readonly WorkQueue[]
  /** Number of the table. */
  readonly number: number

  private constructor(queues: readonly WorkQueue[], { handle, number }: { handle: number; number: number }) {
    super(handle, Kind.IndirectionTable, 'indirection table')
    this.queues = queues
    this.number = number
  }

  /** @internal */
  static create(queues: readonly WorkQueue[]): IndirectionTable {
    if (!Array.isArray(queues)) throw typeError('queues', 'an array of work queues', queues)
    const ids = queues.map((queue, i) => idOf(`queues[${i}]`, queue, WorkQueue))
    const [first] = queues as readonly WorkQueue[]
    const most = first?.domain.context.limits.extended.maxRwqIndirectionTableSize ?? 0
    if (!first || !Number.isInteger(Math.log2(queues.length)) || queues.length > most) {
      throw rangeError(
        'queues',
        `as many as a power of two, 1 to ${most || 'the most of the device'}`,
        queues.length,
      )
    }
    const other = (queues as readonly WorkQueue[]).findIndex(
      (each) => each.domain.context !== first.domain.context,
    )
    if (other >= 0) throw rangeError(`queues[${other}]`, 'of the context of the others', queues[other])
    return new IndirectionTable(Object.freeze([...queues]), native.mlx5.createIndirectionTable(ids))
  }

  /** @internal */
  protected override describe(): Record<string, unknown> {
    return { number: this.number, queues: this.queues.length, closed: false }
  }
}

/**
 * Creates a table of work queues; one may stand in it several times. Closing one of them closes the table before it.
 *
 * @param queues as many as a power of two
 * @throws TypeError, RangeError; VerbsError
 */
export const createIndirectionTable = (queues: readonly WorkQueue[]): IndirectionTable =>
  IndirectionTable.create(queues)

/** IBV_RX_HASH_* */
const fieldBits = {
  SRC_IPV4: 1 << 0,
  DST_IPV4: 1 << 1,
  SRC_IPV6: 1 << 2,
  DST_IPV6: 1 << 3,
  SRC_PORT_TCP: 1 << 4,
  DST_PORT_TCP: 1 << 5,
  SRC_PORT_UDP: 1 << 6,
  DST_PORT_UDP: 1 << 7,
} as const
/** A field that a frame's hash is of: ibv_rx_hash_fields by name. */
export type RxHashField = keyof typeof fieldBits

/** The example of Microsoft's "Verifying the RSS hash calculation": what DPDK's mlx5 has by default is as good as any. */
const usualKey = new Uint8Array(
  Buffer.from('6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa', 'hex'),
)

/** Options of {@link createRssQueuePair}. */
export interface RssQueuePairOptions {
  /** Of {@link createIndirectionTable}. */
  table: IndirectionTable
  /**
   * What the hash is of. A device takes addresses of both versions of IP, and ports of one protocol, together only where it
   * is told so. None: for a table of one queue, whose frames then have no hash.
   */
  fields: readonly RxHashField[]
  /** Key of the Toeplitz hash: 40 bytes. Default: the example of Microsoft's specification. */
  key?: Uint8Array
  /** Port of the device, from 1; 1 by default. */
  port?: number
}
const rssNames = {
  table: true,
  fields: true,
  key: true,
  port: true,
} as const satisfies Names<RssQueuePairOptions>

/** A queue pair that receives into a table's work queues, and sends nothing (ibv_create_qp_ex(3), rwq_ind_tbl). */
export class RssQueuePair extends NativeHandle {
  readonly domain: ProtectionDomain
  readonly table: IndirectionTable
  /** Number of the queue pair; 0 where the kernel gives such a pair none. */
  readonly number: number
  readonly port: number
  readonly #handle: number

  private constructor(
    parts: Pick<RssQueuePair, 'domain' | 'table' | 'port'>,
    made: { handle: number; number: number },
  ) {
    super(made.handle, Kind.RssQueuePair, 'RSS queue pair')
    this.#handle = made.handle
    this.domain = parts.domain
    this.table = parts.table
    this.port = parts.port
    this.number = made.number
  }

  /** @internal */
  static create(domain: ProtectionDomain, given: RssQueuePairOptions): RssQueuePair {
    const handle = idOf('domain', domain, ProtectionDomain)
    const { table, fields, key = usualKey, port = 1 } = object('options', given, 'an object', rssNames)
    const tableId = idOf('options.table', table, IndirectionTable)
    if (table.queues[0].domain.context !== domain.context) {
      throw rangeError('options.table', "of the domain's own context", table)
    }
    if (!Array.isArray(fields)) throw typeError('options.fields', 'an array of field names', fields)
    let bits = 0
    for (const [i, field] of (fields as readonly RxHashField[]).entries()) {
      if (!Object.hasOwn(fieldBits, field)) {
        throw rangeError(`options.fields[${i}]`, `one of ${Object.keys(fieldBits).join(', ')}`, field)
      }
      bits |= fieldBits[field]
    }
    if (bits === 0 && table.queues.length > 1) {
      throw rangeError('options.fields', 'at least one field where the table has several queues', fields)
    }
    if (!(key instanceof Uint8Array)) throw typeError('options.key', 'a Uint8Array', key)
    if (key.length !== usualKey.length)
      throw rangeError('options.key.length', `${usualKey.length}`, key.length)
    integer('options.port', port, 1, domain.context.portCount)
    const made = native.mlx5.createRssQueuePair(handle, tableId, key, bits)
    return new RssQueuePair({ domain, table, port }, made)
  }

  /** Steers the frames that match to the table's queues: as `QueuePair.createFlow`. */
  createFlow(rules: FlowRule | readonly FlowRule[] | DefaultFlow, options?: FlowOptions): Flow<RssQueuePair> {
    this.assertOpen()
    return Flow.create(this, this.#flow, rules, options)
  }

  /** The same for rules in normal form. @internal */
  createFlowOf(alternatives: readonly Alternative[], name: string): Flow<RssQueuePair> {
    this.assertOpen()
    return Flow.of(this, this.#flow, alternatives, name)
  }

  get #flow() {
    return native.verbs.createRssFlow.bind(undefined, this.#handle)
  }

  /** @internal */
  protected override describe(): Record<string, unknown> {
    return { number: this.number, queues: this.table.queues.length, closed: false }
  }
}

/**
 * Creates a queue pair that spreads the frames of its flow rules over a table's work queues by their Toeplitz hash. It has
 * no state, and neither sends nor posts.
 *
 * @throws VerbsError EINVAL, ENOTSUP for fields that the device does not hash together; TypeError, RangeError
 */
export const createRssQueuePair = (domain: ProtectionDomain, options: RssQueuePairOptions): RssQueuePair =>
  RssQueuePair.create(domain, options)
