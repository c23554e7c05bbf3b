import { constants } from 'node:os'
import { ownCopy, plainAccess } from '../../hot/own-copy.js'
import type { HotConsumer } from '../../ring/hot/parts.js'
import { cells } from '../../ring/ring.js'
import type { DirectQueuePair, DirectRing } from '../direct-ring.js'
import type { HotSendRequests, SendCompletionParts, SendRequestParts, SendWorkParts } from '../hot/parts.js'
import { FrameFields, SendState, SendWork } from '../hot/state.js'
import { SendMailbox } from '../native.js'
import { consumerMask, recordSetter } from '../record.js'
import { bigEndian } from './big-endian.js'
import { placeOf, ringBytes } from './ring-bytes.js'

const { EIO } = constants.errno

/** Frames of a multi-packet request, at most: the six bits of its size count control and Ethernet segment too. */
const mostFrames = 61

/** Bytes of the headers that may lie in front of what is cut into segments: Ethernet with two tags, IPv4 and TCP with options. */
export const mostHeaderBytes = 14 + 8 + 60 + 60
/** Blocks of a request with work: control and Ethernet segment, such headers and a tag more, a data segment. */
export const workBlocks = Math.ceil((32 + mostHeaderBytes + 4 + 16) / 64)

/** What the device does to a frame: computes its checksums; and what `work` says. */
export const SendOption = { checksums: 1, work: 2 } as const

/** What the two ends of a send queue share. */
export interface SendQueueParts {
  pair: DirectQueuePair
  completions: DirectRing
  mailbox: Int32Array
  /** The arena; its key; and what its offsets need to be the device's addresses. */
  memory: Uint8Array
  key: number
  base: number
  /** Whether several frames go into one request (MLX5_OPCODE_ENHANCED_MPSW). */
  multiPacket: boolean
  /** Bytes of each frame that its request holds: eth_min_inline of the device. */
  inlined: number
  /** Whether the device computes every frame's checksums. */
  checksums: boolean
  /** A request has failed: the bytes of its completion. */
  failed(entry: Uint8Array): void
}

/** The two ends of a send queue of frames, which share what was sent; of the completions, a record is a frame. */
export function sendQueue(parts: SendQueueParts) {
  const { pair, completions, mailbox } = parts
  const { count } = pair.send
  const state = cells(SendState.words)
  mailbox[SendMailbox.completed] = 0
  const shared = {
    state,
    mailbox,
    // Four segments to a block, and each request has two more.
    sent: new Uint32Array(cells(count * 4).buffer),
    framesAt: cells(count),
    blockBehind: cells(count),
    fields: FrameFields,
    SendState,
    SendMailbox,
  }
  const compileRequests = ownCopy<(parts: SendRequestParts) => HotSendRequests>(
    new URL('../hot/send-requests.cjs', import.meta.url),
  )
  const compileCompletions = ownCopy<(parts: SendCompletionParts) => HotConsumer>(
    new URL('../hot/send-completions.cjs', import.meta.url),
  )
  const requestParts: SendRequestParts = {
    ...shared,
    position: cells(1),
    ring: ringBytes(pair.send),
    number: pair.number << 8,
    key: bigEndian(parts.key),
    keys: wordsFrom(pair.send, FrameFields.key),
    addressHighs: wordsFrom(pair.send, FrameFields.addressHigh),
    addressLows: viewFrom(pair.send, FrameFields.addressLow),
    checksums: parts.checksums ? FrameFields.bothChecksums : 0,
    mostFrames: parts.multiPacket ? Math.min(mostFrames, count) : 1,
    inlined: parts.inlined,
    memory: parts.memory,
    base: parts.base,
  }
  const transmit = compileRequests(requestParts)
  const work = cells(SendWork.words)
  let writeWork: ((address: number, length: number) => void) | undefined
  const compileWork = () => {
    const compile = ownCopy<(parts: SendWorkParts) => NonNullable<typeof writeWork>>(
      new URL('../hot/send-work.cjs', import.meta.url),
    )
    return compile({ ...requestParts, seal: transmit.seal, work, SendWork })
  }
  /** The number of the first frame whose request failed; those after it fail too. */
  let firstFailed: number | undefined
  const done = compileCompletions({
    ...shared,
    plain: plainAccess,
    position: cells(1),
    ring: ringBytes(completions),
    setConsumerIndex: recordSetter(completions.record, consumerMask),
    failed: (at, from) => {
      firstFailed ??= from
      parts.failed(completions.bytes.slice(at, at + 64))
    },
  })
  return {
    requests: {
      ...placeOf(pair.send),
      get index() {
        return transmit.index()
      },
      pushed: (since: number) => (transmit.index() - since) | 0,
      place: (back: number) => (transmit.index() - back) & (count - 1),
      write(address: number, length: number, options: number) {
        if (options === 0) return transmit.push(address, length)
        if (options === SendOption.checksums) {
          return transmit.write(address, length, FrameFields.bothChecksums)
        }
        work[SendWork.checksums] =
          (options & SendOption.checksums) !== 0 || parts.checksums ? FrameFields.bothChecksums : 0
        writeWork ??= compileWork()
        writeWork(address, length)
      },
      publish: transmit.publish,
      outstanding: transmit.outstanding,
      room: transmit.room,
      hot: () => transmit,
    },
    completions: {
      ...placeOf(completions),
      ...done,
      address: (at: number) => done.address(at) >>> 0,
      status: (frame: number) => (firstFailed !== undefined && ((frame - firstFailed) | 0) >= 0 ? EIO : 0),
      hot: () => done,
    },
    /** What the next frame that is written with {@link SendOption.work} has done to it: {@link SendWork}. */
    work,
    /** How many entries of the completion queue were taken. */
    entries: () => state[SendState.entries],
  }
}

/** A ring's words from this byte on. */
function wordsFrom({ bytes }: DirectRing, offset: number): Int32Array {
  return new Int32Array(bytes.buffer, bytes.byteOffset + offset, (bytes.byteLength - offset) >> 2)
}

function viewFrom({ bytes }: DirectRing, offset: number): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset + offset, bytes.byteLength - offset)
}
