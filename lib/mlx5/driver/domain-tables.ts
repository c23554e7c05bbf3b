import { ownCopy } from '../../hot/own-copy.js'
import { native } from '../../native.js'
import { cells } from '../../ring/ring.js'
import type { DomainMembers } from '../../verbs/domain-members.js'
import type { RegionMemory, RegionParts } from '../hot/parts.js'
import { RegionLine } from '../hot/state.js'
import { datagramSegment } from '../layout/send-request.js'
import { bigEndian } from './big-endian.js'

/** Members that a queue pair has at hand, by their handles modulo this. */
const lines = 64
const vectorWords = datagramSegment.length / 4

/**
 * What is made of a domain's members, by handle, kept until one of them is closed: a member that gives its line to another
 * and takes it again is not made anew.
 */
function kept<T>(members: DomainMembers, make: (id: number) => T | undefined): (id: number) => T | undefined {
  const all = new Map<number, T>()
  let seen = members.closings[0]
  return (id) => {
    if (members.closings[0] !== seen) {
      all.clear()
      seen = members.closings[0]
    }
    let one = all.get(id)
    if (one === undefined) {
      one = make(id)
      if (one !== undefined) all.set(id, one)
    }
    return one
  }
}

/** The regions of a protection domain as the hot code of a queue pair finds them. */
export function regionTable(members: DomainMembers) {
  const table = cells(lines * RegionLine.words)
  const sizes = new Float64Array(new SharedArrayBuffer(lines * 8))
  const none: RegionMemory = { bytes: new Uint8Array(0), words: new Int32Array(0), start: 0 }
  const memories = Array.from({ length: lines }, () => none)
  const compile = ownCopy<(parts: RegionParts) => (id: number) => number>(
    new URL('../hot/regions.cjs', import.meta.url),
  )
  const regionOf = kept(members, (id) => {
    const region = members.region(id)
    if (region === undefined) return undefined
    const { lkey, address, bytes, writable } = region
    const { buffer, byteOffset } = bytes
    const words = new Int32Array(RegionLine.words)
    words[RegionLine.id] = id
    words[RegionLine.key] = bigEndian(lkey)
    words[RegionLine.writable] = writable ? 1 : 0
    words[RegionLine.addressLow] = Number(BigInt.asIntN(32, address))
    words[RegionLine.addressHigh] = Number(BigInt.asIntN(32, address >> 32n))
    const memory: RegionMemory = {
      bytes: new Uint8Array(buffer),
      words: new Int32Array(buffer, 0, Math.floor(buffer.byteLength / 4)),
      start: byteOffset,
    }
    return { words, size: bytes.length, memory }
  })
  const load = (id: number, line: number): number => {
    const region = regionOf(id)
    if (region === undefined) return -1
    table.set(region.words, line)
    const at = line / RegionLine.words
    sizes[at] = region.size
    memories[at] = region.memory
    return line
  }
  const find = compile({ table, lines, closings: members.closings, load, RegionLine })
  return { table, sizes, memories, find }
}

/** The address vectors of a domain's address handles, as they lie in a request (struct mlx5_wqe_av). */
export function vectorTable(members: DomainMembers) {
  const ids = new Int32Array(lines)
  const vectors = cells(lines * vectorWords)
  const made = kept(members, (id) =>
    members.hasAddressHandle(id) ? new Int32Array(native.mlx5.addressVector(id)) : undefined,
  )
  let seen = members.closings[0]
  const vectorOf = (id: number): number => {
    if (members.closings[0] !== seen) {
      ids.fill(0)
      seen = members.closings[0]
    }
    const line = id & (lines - 1)
    if (ids[line] !== id) {
      const vector = made(id)
      if (vector === undefined) return -1
      vectors.set(vector, line * vectorWords)
      ids[line] = id
    }
    return line * vectorWords
  }
  return { vectors, vectorOf }
}
