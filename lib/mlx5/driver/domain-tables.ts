import { ownCopy } from '../../hot/own-copy.js'
import { native } from '../../native.js'
import { cells } from '../../ring/ring.js'
import type { DomainMembers } from '../../verbs/domain-members.js'
import type { RegionMemory, RegionParts } from '../hot/parts.js'
import { RegionLine } from '../hot/state.js'
import { datagramSegment } from '../layout/send-request.js'
import { bigEndian } from './big-endian.js'

/** Regions that a queue pair has at hand; others are looked up in the domain. */
const lines = 64
const vectorWords = datagramSegment.length / 4

/** The regions of a protection domain as the hot code of a queue pair finds them. */
export function regionTable(members: DomainMembers) {
  const table = cells(lines * RegionLine.words)
  const sizes = new Float64Array(new SharedArrayBuffer(lines * 8))
  const none: RegionMemory = { bytes: new Uint8Array(0), words: new Int32Array(0), start: 0 }
  const memories = Array.from({ length: lines }, () => none)
  const compile = ownCopy<(parts: RegionParts) => (id: number) => number>(
    new URL('../hot/regions.cjs', import.meta.url),
  )
  const load = (id: number, line: number): number => {
    const region = members.region(id)
    if (region === undefined) return -1
    const { lkey, address, bytes, writable } = region
    const { buffer, byteOffset } = bytes
    table[line + RegionLine.key] = bigEndian(lkey)
    table[line + RegionLine.writable] = writable ? 1 : 0
    table[line + RegionLine.addressLow] = Number(BigInt.asIntN(32, address))
    table[line + RegionLine.addressHigh] = Number(BigInt.asIntN(32, address >> 32n))
    const at = line / RegionLine.words
    sizes[at] = bytes.length
    memories[at] = {
      bytes: new Uint8Array(buffer),
      words: new Int32Array(buffer, 0, Math.floor(buffer.byteLength / 4)),
      start: byteOffset,
    }
    table[line + RegionLine.id] = id
    return line
  }
  const find = compile({ table, lines, closings: members.closings, load, RegionLine })
  return { table, sizes, memories, find }
}

/** The address vectors of a domain's address handles, as they lie in a request (struct mlx5_wqe_av). */
export function vectorTable(members: DomainMembers) {
  const ids = new Int32Array(lines)
  const vectors = cells(lines * vectorWords)
  let seen = members.closings[0]
  const vectorOf = (id: number): number => {
    if (members.closings[0] !== seen) {
      ids.fill(0)
      seen = members.closings[0]
    }
    const line = id & (lines - 1)
    if (ids[line] !== id) {
      if (!members.hasAddressHandle(id)) return -1
      vectors.set(new Int32Array(native.mlx5.addressVector(id)), line * vectorWords)
      ids[line] = id
    }
    return line * vectorWords
  }
  return { vectors, vectorOf }
}
