/** Several AF_PACKET queues that share an interface's received frames: PACKET_FANOUT (packet(7)). */
import { constants } from 'node:os'
import { boolean, integer, type Names, object, oneOf, rangeError, typeError } from '../../argument.js'
import { VerbsError } from '../../errors.js'
import { native } from '../../native.js'

/** The modes of a group: PACKET_FANOUT_*, linux/if_packet.h. */
const modes = { hash: 0, lb: 1, cpu: 2, rollover: 3, rnd: 4, qm: 5 } as const
const Flag = { rollover: 0x1000, uniqueId: 0x2000, ignoreOutgoing: 0x4000, defragment: 0x8000 } as const
const { EINVAL, ENOSPC } = constants.errno

/**
 * How a group distributes its frames:
 *
 * - `hash`: by flow; both directions of a connection go to one queue. Frames that are not IP all go to one queue.
 * - `lb`: round robin.
 * - `cpu`: by the processor on which the frame arrived.
 * - `rollover`: to one queue until it has no room, then to the next.
 * - `rnd`: at random.
 * - `qm`: by the receive queue of the device.
 */
export type FanoutMode = keyof typeof modes

/** A group of AF_PACKET queues, of this process or of others: each frame goes to one of them. */
export interface FanoutOptions {
  /**
   * The group's number, 0 to 65535, in this network namespace: the first queue creates the group, the others join it.
   * 'new': an unused number, which `report.fanout` shows.
   */
  group: number | 'new'
  /**
   * How the group distributes its frames. All queues of a group must agree on this option and the following ones.
   * Default 'hash'.
   */
  mode?: FanoutMode
  /** Reassemble the fragments of IPv4 packets first, so that all of a packet goes to its flow's queue. Default false. */
  defragment?: boolean
  /** Give a frame whose queue has no room to another queue of the group. Default false. */
  rollover?: boolean
}
const fanoutOptionNames = {
  group: true,
  mode: true,
  defragment: true,
  rollover: true,
} as const satisfies Names<FanoutOptions>

/** The fanout group of a queue. */
export interface Fanout {
  readonly group: number
  readonly mode: FanoutMode
}

/** The checked group, with its defaults. @throws TypeError, RangeError */
export function fanoutArgument(name: string, value: FanoutOptions): Required<FanoutOptions> {
  const given = object(name, value, 'an object { group, mode }', fanoutOptionNames)
  const { group, mode = 'hash', defragment = false, rollover = false } = given
  if (group !== 'new') {
    if (typeof group !== 'number') throw typeError(`${name}.group`, "a number or 'new'", group)
    integer(`${name}.group`, group, 0, 0xffff)
  }
  oneOf(`${name}.mode`, mode, Object.keys(modes) as FanoutMode[])
  boolean(`${name}.defragment`, defragment)
  boolean(`${name}.rollover`, rollover)
  if (rollover && mode === 'rollover')
    throw rangeError(`${name}.rollover`, "left out with mode 'rollover'", rollover)
  return { group, mode, defragment, rollover }
}

/**
 * Joins the group, after bind(2).
 *
 * @param outgoing whether the queue receives outgoing frames: in a group this is a setting of the group, not of the
 *   socket
 * @throws VerbsError EINVAL where the group's other queues have other settings, ENOSPC when it is full
 */
export function joinFanout(handle: number, options: Required<FanoutOptions>, outgoing: boolean): Fanout {
  const { group, mode, defragment, rollover } = options
  const flags =
    (defragment ? Flag.defragment : 0) |
    (rollover ? Flag.rollover : 0) |
    (outgoing ? 0 : Flag.ignoreOutgoing) |
    (group === 'new' ? Flag.uniqueId : 0)
  const result = native.ethernet.fanout(handle, group === 'new' ? 0 : group, modes[mode] | flags)
  if (result >= 0) return { group: result, mode }
  const why: Record<number, string> = {
    [EINVAL]:
      `group ${group} has queues of another interface, mode or options (defragment, rollover, outgoing), ` +
      'or the kernel is older than 5.16',
    [ENOSPC]: group === 'new' ? 'all 65536 groups are in use' : `group ${group} is full`,
  }
  throw new VerbsError(
    -result,
    'setsockopt',
    `PACKET_FANOUT: ${why[-result] ?? `group ${group}, mode '${mode}'`}`,
  )
}
