/**
 * Work that the kernel leaves to the device, and that a raw receiver finds undone: the transport checksum, the VLAN
 * tag, the segmentation of a super-frame. Each frame's record states it (binding/ethernet/records.h); the functions
 * here do it.
 */
import { integer, rangeError } from '../argument.js'
import { sum } from '../headers/checksum.js'
import { brief, FrameFlag, FrameRecord, type FrameTable } from './frames.js'

/** The kind of a super-frame's segments, `PacketQueue.segmentType(slot)`: VIRTIO_NET_HDR_GSO_*, linux/virtio_net.h. */
export const SegmentType = {
  /** An ordinary frame. */
  none: 0,
  /** TCP segments over IPv4. */
  tcp4: 1,
  /** Fragments of an IP packet with UDP (UFO). */
  udpFragment: 3,
  /** TCP segments over IPv6. */
  tcp6: 4,
  /** UDP datagrams. */
  udp: 5,
} as const

/** In the flags word (FrameRecord::Flags). */
const segmentTypeShift = 12
const segmentTypeMask = 7
const segmentSizeShift = 16

/**
 * In the transmit ring of a packet socket (DescriptorRecord::Options): the kernel does the work that the record asks
 * for.
 */
const finish = 1
const insertTag = 2

const headerBytes = 14
const addressBytes = 12
const tagBytes = 4
const checksumBytes = 2

/** The flags of a record that leaves a checksum or segments to the kernel or the device. */
export const unfinishedFlags = FrameFlag.checksumPartial | (segmentTypeMask << segmentTypeShift)

export function segmentTypeOf(flags: number): number {
  return (flags >>> segmentTypeShift) & segmentTypeMask
}

export function segmentSizeOf(flags: number): number {
  return flags >>> segmentSizeShift
}

/** The options with which a packet socket sends a frame as its record says; 0 when it goes as it lies in memory. */
export function offloadsOf({ records }: Pick<FrameTable, 'records'>, index: number): number {
  const record = index * FrameRecord.words
  const flags = records[record + FrameRecord.flags]
  if ((flags & brief) !== 0) return 0
  let options = records[record + FrameRecord.vlan] === 0 ? 0 : insertTag
  // The checksum of a truncated frame cannot be computed.
  const unfinished = (flags & FrameFlag.checksumPartial) !== 0 || segmentTypeOf(flags) !== SegmentType.none
  if (unfinished && (flags & FrameFlag.truncated) === 0) options |= finish
  return options
}

/** Writes the work that the kernel is to do into a frame's record. */
export function request(
  table: FrameTable,
  index: number,
  length: number,
  checksumStart: number,
  checksumOffset: number,
  segmentType: number,
  segmentSize: number,
): void {
  integer('checksumStart', checksumStart, headerBytes, length - checksumBytes)
  integer('checksumOffset', checksumOffset, 0, length - checksumStart - checksumBytes)
  const types: readonly unknown[] = Object.values(SegmentType)
  if (!types.includes(segmentType)) throw rangeError('segmentType', 'one of SegmentType', segmentType)
  if (segmentType === SegmentType.none) integer('segmentSize', segmentSize, 0, 0)
  else integer('segmentSize', segmentSize, 1, 0xffff)
  const { records } = table
  const record = index * FrameRecord.words
  const flags =
    FrameFlag.checksumPartial | (segmentType << segmentTypeShift) | (segmentSize << segmentSizeShift)
  if ((records[record + FrameRecord.flags] & brief) !== 0) table.complete(index, length, length, flags)
  records[record + FrameRecord.length] = length
  records[record + FrameRecord.flags] = flags
  records[record + FrameRecord.checksum] = (checksumStart << 16) | checksumOffset
}

/**
 * Completes a partial checksum, as skb_checksum_help in the kernel does: its field holds the sum of the pseudo-header.
 *
 * @returns false when there was nothing to complete
 */
export function completeChecksum({ records }: FrameTable, memory: Uint8Array, index: number): boolean {
  const record = index * FrameRecord.words
  const flags = records[record + FrameRecord.flags]
  if ((flags & FrameFlag.checksumPartial) === 0) return false
  const offset = records[record + FrameRecord.offset]
  const length = records[record + FrameRecord.length]
  const word = records[record + FrameRecord.checksum]
  const start = word >>> 16
  const place = start + (word & 0xffff)
  if ((flags & FrameFlag.truncated) !== 0 || place + checksumBytes > length) {
    const original = records[record + FrameRecord.originalLength]
    throw rangeError('slot', `a frame that is all there: ${length} of ${original} bytes are`, index)
  }
  // In one's complement 0 equals 0xffff, and in UDP 0 means no checksum (RFC 768).
  const checksum = ~sum(memory, offset + start, offset + length) & 0xffff || 0xffff
  memory[offset + place] = checksum >>> 8
  memory[offset + place + 1] = checksum & 0xff
  records[record + FrameRecord.flags] = flags & ~FrameFlag.checksumPartial
  return true
}

/**
 * Puts the VLAN tag back that the kernel stripped: into the room before the frame, where only the addresses move, or
 * else by moving the bytes after them.
 *
 * @returns false when there was no tag
 */
export function restoreVlan({ records, shift }: FrameTable, memory: Uint8Array, index: number): boolean {
  const record = index * FrameRecord.words
  const vlan = records[record + FrameRecord.vlan]
  if (vlan === 0 || (records[record + FrameRecord.flags] & brief) !== 0) return false
  const place = index * 2 ** shift
  const from = records[record + FrameRecord.offset]
  const length = records[record + FrameRecord.length]
  let begin = from
  if (from - place >= tagBytes) {
    begin = from - tagBytes
    for (let i = 0; i < addressBytes; i++) memory[begin + i] = memory[from + i]
  } else if (from + length + tagBytes <= place + 2 ** shift) {
    memory.copyWithin(from + addressBytes + tagBytes, from + addressBytes, from + length)
  } else {
    throw rangeError('slot', `a frame with ${tagBytes} bytes of headroom, or of room behind it`, index)
  }
  for (let i = 0; i < tagBytes; i++) memory[begin + addressBytes + i] = vlan >>> (24 - 8 * i)
  records[record + FrameRecord.offset] = begin
  records[record + FrameRecord.length] = length + tagBytes
  records[record + FrameRecord.originalLength] += tagBytes
  records[record + FrameRecord.vlan] = 0
  if ((records[record + FrameRecord.flags] & FrameFlag.checksumPartial) !== 0) {
    records[record + FrameRecord.checksum] += tagBytes << 16
  }
  return true
}

/**
 * Does the work that a frame's record leaves to the kernel, for ports where the kernel does not. A super-frame is not
 * cut: it is then refused as too long.
 */
export function finishFrame(table: FrameTable, memory: Uint8Array, index: number): void {
  restoreVlan(table, memory, index)
  const flags = table.records[index * FrameRecord.words + FrameRecord.flags]
  if ((flags & FrameFlag.truncated) === 0) completeChecksum(table, memory, index)
}
