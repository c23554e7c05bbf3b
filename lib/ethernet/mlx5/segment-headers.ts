import { FrameRecord, type FrameTable } from '../frames.js'
import { SegmentType, segmentTypeOf } from '../offload.js'

const [vlan, serviceVlan, ipv4, ipv6] = [0x8100, 0x88a8, 0x0800, 0x86dd]
const tcp = 6
const dontFragmentOnly = 0x3fff

/**
 * Bytes of the headers in front of a super-frame's payload, from the Ethernet header on; 0 where a device that cuts TCP
 * would not find in the frame what its record tells: a request with such headers fails, and the queue pair with it.
 */
export function segmentHeaderBytes({ records }: FrameTable, memory: Uint8Array, index: number): number {
  const record = index * FrameRecord.words
  const offset = records[record + FrameRecord.offset]
  const length = records[record + FrameRecord.length]
  const start = records[record + FrameRecord.checksum] >>> 16
  const type = segmentTypeOf(records[record + FrameRecord.flags])
  const version = type === SegmentType.tcp4 ? 4 : type === SegmentType.tcp6 ? 6 : 0
  if (version === 0 || start + 20 > length) return 0
  const word = (at: number) => (memory[offset + at] << 8) | memory[offset + at + 1]
  let at = 12
  while (word(at) === vlan || word(at) === serviceVlan) {
    at += 4
    if (at + 2 > start) return 0
  }
  const ip = at + 2
  const room = start - ip
  if (word(at) !== (version === 4 ? ipv4 : ipv6) || memory[offset + ip] >>> 4 !== version) return 0
  // Behind extension headers a device finds no TCP.
  if (version === 6 && (room !== 40 || memory[offset + ip + 6] !== tcp)) return 0
  if (version === 4) {
    if (room < 20 || room !== (memory[offset + ip] & 15) * 4 || memory[offset + ip + 9] !== tcp) return 0
    if ((word(ip + 6) & dontFragmentOnly) !== 0) return 0
  }
  const header = (memory[offset + start + 12] >>> 4) * 4
  return header >= 20 && start + header < length ? start + header : 0
}
