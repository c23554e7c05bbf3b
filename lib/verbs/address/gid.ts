import { isIPv6 } from 'node:net'
import { rangeError, string } from '../../argument.js'
import { parse } from '../../headers/ipv6.js'
import type { GidType } from '../constants.js'

/** An entry of a GID table (ibv_query_gid_table(3)). */
export interface GidEntry {
  /** The GID as an IPv6 address; an IPv4-mapped one as '::ffff:10.0.0.1'. */
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

/** Scope of a GID: two GIDs of the same kind can reach each other. */
export type GidKind = 'link-local' | 'IPv4' | 'IPv6'

/**
 * The kind of a GID, also of a multicast group's: '::ffff:239.1.2.3' is IPv4, 'ff0e::ffff:239.1.2.3' is IPv6.
 *
 * @param gid in any spelling of an IPv6 address
 */
export function gidKind(gid: string): GidKind {
  const bytes = parse(gid)
  if (isMapped(bytes)) return 'IPv4'
  return bytes[0] === 0xfe && (bytes[1] & 0xc0) === 0x80 ? 'link-local' : 'IPv6'
}

/** Whether a GID is a multicast group's: 224.0.0.0/4 or ff00::/8. @internal */
export function isGroup(gid: string): boolean {
  const bytes = parse(gid)
  return isMapped(bytes) ? bytes[12] >> 4 === 0xe : bytes[0] === 0xff
}

/** Whether a GID is '::', in any spelling: that of a port without a GID. @internal */
export function isUnspecified(gid: string): boolean {
  return parse(gid).every((byte) => byte === 0)
}

/** ::ffff:0:0/96, as RoCE writes an IPv4 address (InfiniBand annex A17). */
function isMapped(bytes: Uint8Array): boolean {
  return bytes[10] === 0xff && bytes[11] === 0xff && bytes.subarray(0, 10).every((byte) => byte === 0)
}

/** A GID in the spelling of inet_pton(3). @internal */
export function checkGid(name: string, gid: unknown): string {
  if (!isIPv6(string(name, gid)) || (gid as string).includes('%')) {
    throw rangeError(name, 'a GID such as fe80::1 or ::ffff:10.0.0.1', gid)
  }
  return gid as string
}

/** The GID of a multicast group, in the spelling of inet_pton(3). @internal */
export function checkGroup(name: string, gid: unknown): string {
  if (!isGroup(checkGid(name, gid))) {
    throw rangeError(name, 'the GID of a group, such as ff0e::1 or ::ffff:239.0.0.1', gid)
  }
  return gid as string
}

const reach: Record<GidKind, number> = { 'link-local': 0, IPv6: 1, IPv4: 2 }

/**
 * The entry to use where the user names none: RoCE v2 before v1, which no router forwards; then IPv4 before IPv6 before
 * link-local; then the lowest index.
 *
 * @param kind only entries of this kind, where given
 */
export function bestGid(table: GidEntry[], port: number, kind?: GidKind): GidEntry | undefined {
  const rank = (entry: GidEntry) => (entry.type === 'RoCE v1' ? 0 : 10) + reach[gidKind(entry.gid)]
  let best: GidEntry | undefined
  for (const entry of table) {
    if (entry.port !== port || isUnspecified(entry.gid) || (kind && gidKind(entry.gid) !== kind)) continue
    if (!best || rank(entry) > rank(best)) best = entry
  }
  return best
}
