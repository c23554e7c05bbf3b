/** A device's channels (ethtool -l, -L): its queues and the interrupts that serve them. */
import { getSystemErrorName } from 'node:util'
import { integer, type Names, options as optionsOf, string } from '../../argument.js'
import { VerbsError, verbsError } from '../../errors.js'
import { native } from '../../native.js'
import type { NativeChannels } from '../native.js'
import { queryInterface } from './interfaces.js'

/** The number of channels of each kind. */
export interface ChannelCounts {
  /** Channels that only receive. Default: unchanged. */
  receive: number
  /** Channels that only transmit. Default: unchanged. */
  transmit: number
  /** Channels for link events and the like. Default: unchanged. */
  other: number
  /** Channels that receive and transmit. Default: unchanged. */
  combined: number
}
const channelCountNames = {
  receive: true,
  transmit: true,
  other: true,
  combined: true,
} as const satisfies Names<ChannelCounts>

/** The result of {@link queryChannels}. */
export interface Channels extends ChannelCounts {
  /** The most that {@link setChannels} accepts. */
  readonly most: Readonly<ChannelCounts>
}

/**
 * A device's channels, current and at most.
 *
 * @throws VerbsError ENODEV, ENOTSUP for a driver that has no channels
 */
export function queryChannels(interfaceName: string): Channels {
  const { name } = queryInterface(string('interfaceName', interfaceName))
  const { status, ...channels } = native.ethernet.ethtool.channels(name)
  if (status < 0) throw ethtoolError(-status, 'ETHTOOL_GCHANNELS', name, 'channels')
  return channels
}

/**
 * Changes a device's channel counts; omitted counts stay unchanged.
 *
 * @returns the previous counts
 * @throws VerbsError ENODEV, EPERM without CAP_NET_ADMIN, ENOTSUP for a driver that cannot change them, EINVAL for
 *   counts that it does not accept, or while an AF_XDP socket uses a queue that would disappear
 */
export function setChannels(interfaceName: string, counts: Partial<ChannelCounts>): ChannelCounts {
  const given = pick(counts)
  const { most, ...before } = queryChannels(interfaceName)
  const after = { ...before, ...given }
  if (same(before, after)) return before
  const { receive, transmit, other, combined } = after
  const status = native.ethernet.ethtool.setChannels(interfaceName, receive, transmit, other, combined)
  if (status < 0) {
    throw ethtoolError(
      -status,
      'ETHTOOL_SCHANNELS',
      interfaceName,
      'changing its channels',
      `asked for ${wordsOf(after)}; it has at most ${wordsOf(most)}`,
    )
  }
  return before
}

/** How many receive queues a device has in use; 0 where its driver does not report it. */
export function queueCount(name: string): number {
  const { status, receive, combined } = native.ethernet.ethtool.channels(name)
  return status < 0 ? 0 : receive + combined
}

/** The error of an ethtool request. It names the driver and the operation when the driver does not implement it. */
export function ethtoolError(
  errno: number,
  operation: string,
  name: string,
  what: string,
  detail?: string,
): VerbsError {
  if (getSystemErrorName(-errno) === 'ENOTSUP') {
    const driver = native.ethernet.ethtool.driver(name)
    return verbsError(
      'ENOTSUP',
      'ioctl',
      `${operation}: the driver of "${name}" (${driver || 'unknown'}) has no ${what}`,
    )
  }
  return new VerbsError(errno, 'ioctl', `${operation} of "${name}"${detail ? `: ${detail}` : ''}`)
}

const kinds = Object.keys(channelCountNames) as (keyof ChannelCounts)[]

function pick(counts: Partial<ChannelCounts>): Partial<ChannelCounts> {
  const given = optionsOf('counts', counts, channelCountNames)
  const picked: Partial<ChannelCounts> = {}
  for (const kind of kinds) {
    if (given[kind] !== undefined) picked[kind] = integer(`counts.${kind}`, given[kind], 0, 2 ** 16)
  }
  return picked
}

function same(a: NativeChannels, b: NativeChannels): boolean {
  return kinds.every((kind) => a[kind] === b[kind])
}

function wordsOf(counts: ChannelCounts): string {
  return kinds
    .filter((kind) => counts[kind] > 0)
    .map((kind) => `${counts[kind]} ${kind}`)
    .join(', ')
}
