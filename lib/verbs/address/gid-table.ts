import { verbsError } from '../../errors.js'
import type { DeviceQueries } from '../device-queries.js'
import { bestGid, type GidEntry, gidKind, isGroup } from './gid.js'

/**
 * The entry at an index that the caller chose.
 *
 * @throws VerbsError EINVAL that lists the indices in use; the kernel says EFAULT, or nothing at all
 * @internal
 */
export function gidAt(device: DeviceQueries, port: number, index: number): GidEntry {
  const own = device.queryGidTable().filter((entry) => entry.port === port)
  const entry = own.find((each) => each.index === index)
  if (entry) return entry
  const there = own.map((each) => `${each.index} (${each.gid})`).join(', ')
  throw verbsError(
    'EINVAL',
    'ibv_query_gid_table',
    `port ${port} of ${device.name} has no GID at index ${index}: there are ${there || 'none'}`,
  )
}

/** The local GID to reach `gid` from: one of the same kind, since no route leads from the others. @internal */
export function gidFor(device: DeviceQueries, port: number, gid: string): GidEntry {
  const table = device.queryGidTable()
  const kind = gidKind(gid)
  // On its own link a multicast group also hears a link-local source address.
  const near = kind === 'IPv6' && isGroup(gid) ? bestGid(table, port, 'link-local') : undefined
  const entry = bestGid(table, port, kind) ?? near
  if (entry) return entry
  const there = table.filter((each) => each.port === port).map((each) => each.gid)
  throw verbsError(
    'EADDRNOTAVAIL',
    'ibv_query_gid_table',
    `port ${port} of ${device.name} has no ${kind} GID to reach ${gid} from` +
      ` (it has ${there.join(', ') || 'none at all: is its network device up?'})`,
  )
}
