import { plainAccess } from '../../hot/own-copy.js'
import { cells } from '../../ring/ring.js'
import type { DirectRing } from '../direct-ring.js'
import type { ReceivedParts, ReceivedPlaces } from '../hot/parts.js'
import { FrameFields } from '../hot/state.js'
import { frameCqe } from '../layout/completion.js'
import { consumerMask, recordSetter } from '../record.js'
import { ringBytes } from './ring-bytes.js'

/** What every receive queue of frames has, whatever a request takes. */
export interface ReceivingParts {
  /** Key of the arena, and what its offsets need to be the device's addresses. */
  key: number
  base: number
  /** The most frames, or strides, that a look finds; one entry may tell of more. */
  batch: number
  checksumValid: number
  /** The device has failed a request, or says what cannot be: the bytes of its completion. */
  failed(entry: Uint8Array): void
}

/** What hot code that reads completions of received frames gets. */
export function receivedParts(completions: DirectRing, parts: ReceivingParts): ReceivedParts {
  return {
    plain: plainAccess,
    fields: FrameFields,
    position: cells(1),
    ring: ringBytes(completions),
    places: placesIn(completions),
    setConsumerIndex: recordSetter(completions.record, consumerMask),
    most: parts.batch,
    checksumValid: parts.checksumValid,
    failed: (at) => parts.failed(completions.bytes.slice(at, at + frameCqe.length)),
  }
}

function placesIn({ count, stride }: DirectRing): ReceivedPlaces {
  const { ownerWord, checksWord, completedBytes, opcodeShift, formatShift, ownerBit, received } = FrameFields
  // An entry of 128 bytes has the one of 64 in its second half.
  const start = stride - frameCqe.length
  return {
    entries: count,
    entryMask: count - 1,
    start,
    wordShift: Math.log2(stride) - 2,
    ownerWord: (start + ownerWord) >> 2,
    checksWord: (start + checksWord) >> 2,
    lengthByte: start + completedBytes,
    kind: (15 << opcodeShift) | (3 << formatShift) | (1 << ownerBit),
    frame: received << opcodeShift,
  }
}
