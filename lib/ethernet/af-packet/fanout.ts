/** Several AF_PACKET queues that share what an interface receives: PACKET_FANOUT (packet(7)). */
import { constants } from 'node:os'
import { boolean, integer, type Names, object, oneOf, rangeError, typeError } from '../../argument.js'
import { VerbsError } from '../../errors.js'
import { native } from '../../native.js'

/** By what a group's frames are shared out: PACKET_FANOUT_*, linux/if_packet.h. */
const modes = { hash: 0, lb: 1, cpu: 2, rollover: 3, rnd: 4, qm: 5 } as const
const Flag = { rollover: 0x1000, uniqueId: 0x2000, ignoreOutgoing: 0x4000, defragment: 0x8000 } as const
const { EINVAL, ENOSPC } = constants.errno

/**
 * How a group shares its frames out:
 *
 * - `hash`: by flow; both directions of a connection come to one queue. What is not IP comes to one queue, too.
 * - `lb`: by turns.
 * - `cpu`: by the processor that the frame came in on.
 * - `rollover`: to one queue until it has no room, then to the next.
 * - `rnd`: at random.
 * - `qm`: by the receive queue of the device.
 */
export type FanoutMode = keyof typeof modes

/** A group of AF_PACKET queues, of this process or of others, of which each frame comes to one. */
export interface FanoutOptions {
  /**
   * The group's number, 0 to 65535, of this network namespace: the first queue makes the group, the others join it. 'new': a
   * number that nobody uses, which `report.fanout` tells.
   */
  group: number | 'new'
  /** Default 'hash'. All queues of a group have the same, and the same of what follows. */
  mode?: FanoutMode
  /** Put fragments of IPv4 packets together first, so that all of a packet is where its flow is. Default false. */
  defragment?: boolean
  /** Give a frame whose queue has no room to another of the group. Default false. */
  rollover?: boolean
}
const fanoutOptionNames = {
  group: true,
  mode: true,
  defragment: true,
  rollover: true,
} as const satisfies Names<FanoutOptions>

/** The group that a queue is in. */
export interface Fanout {
  readonly group: number
  readonly mode: FanoutMode
}

/** With its defaults. @throws TypeError, RangeError */
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
 * @param outgoing whether the queue is to see what goes out: in a group that is the group's, not the socket's
 * @throws VerbsError EINVAL where the group has other queues of another kind, ENOSPC when it is full
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
