import { isIPv6 } from 'node:net'
import { rangeError, string } from '../argument.js'
import type { GidType } from './constants.js'

/** An entry of a GID table (ibv_query_gid_table(3)). */
export interface GidEntry {
  /** The GID as an IPv6 address; one that stands for an IPv4 address is written '::ffff:10.0.0.1'. */
  gid: string
  /** Port number, from 1. */
  port: number
  /** Index in the port's table: what `gidIndex` options take. */
  index: number
  type: GidType
  /** Index of the network device behind the entry; 0 where there is none. */
  netdevIndex: number
  /** Name of the network device behind the entry. */
  netdev: string | null
}

/** How far a GID reaches: two can talk when they are of the same kind. */
export type GidKind = 'link-local' | 'IPv4' | 'IPv6'

/** @param gid as {@link GidEntry.gid} */
export function gidKind(gid: string): GidKind {
  if (gid.startsWith('::ffff:')) return 'IPv4'
  return /^fe[89ab]/i.test(gid) ? 'link-local' : 'IPv6'
}

/** A GID in the spelling of inet_pton(3). @internal */
export function checkGid(name: string, gid: unknown): string {
  if (!isIPv6(string(name, gid)) || (gid as string).includes('%')) {
    throw rangeError(name, 'a GID such as fe80::1 or ::ffff:10.0.0.1', gid)
  }
  return gid as string
}

const reach: Record<GidKind, number> = { 'link-local': 0, IPv6: 1, IPv4: 2 }

/**
 * The entry to use where the user names none: RoCE v2 before v1, which no router forwards; then the address that
 * reaches farthest; then the lowest index.
 *
 * @param kind only entries of this kind, where given
 */
export function bestGid(table: GidEntry[], port: number, kind?: GidKind): GidEntry | undefined {
  const rank = (entry: GidEntry) => (entry.type === 'RoCE v1' ? 0 : 10) + reach[gidKind(entry.gid)]
  let best: GidEntry | undefined
  for (const entry of table) {
    if (entry.port !== port || entry.gid === '::' || (kind && gidKind(entry.gid) !== kind)) continue
    if (!best || rank(entry) > rank(best)) best = entry
  }
  return best
}
