/** The rings that libmlx5 put into memory of ours, from the moment when it no longer drives them. */
import { integer } from '../argument.js'
import { closedError, verbsError } from '../errors.js'
import { native } from '../native.js'
import { cells } from '../ring/ring.js'
import type { DirectCompletionQueue, DirectQueuePair, DirectRing } from './direct-ring.js'
import { basicBlock } from './layout/names.js'
import { ArmMailbox, type NativePlace, SendMailbox } from './native.js'
import { consumerMask, receiveMask, recordSetter } from './record.js'
import type { RingMemory } from './ring-memory.js'

/** @internal */
export interface QueuePairRings {
  rings: DirectQueuePair
  /** The bell behind `ringSend`, and the words that it reads (SendMailbox). */
  bell: { ring: () => void; mailbox: Int32Array }
}

/** A completion queue's ring, and the words behind `arm` (ArmMailbox). @internal */
export interface CompletionRing {
  ring: Omit<DirectCompletionQueue, 'event'>
  mailbox: Int32Array
}

/** A ring in the memory that was given for it. @internal */
export function ringAt({ bytes }: RingMemory, place: NativePlace, record: number): DirectRing {
  const { offset, count, stride } = place
  const length = count * stride
  if ((length > 0 && offset < 0) || record < 0) {
    throw verbsError('ENOTSUP', 'mlx5dv_init_obj', 'libmlx5 put the ring elsewhere than was asked')
  }
  const start = bytes.byteOffset + Math.max(offset, 0)
  return {
    bytes: new Uint8Array(bytes.buffer, start, length),
    view: new DataView(bytes.buffer, start, length),
    stride,
    count,
    record: new Int32Array(bytes.buffer, bytes.byteOffset + record, 1),
  }
}

/** From here on libmlx5 leaves a queue pair's rings alone (mlx5dv_init_obj(3)). @internal */
export function queuePairRings(memory: RingMemory, handle: number, number: number): QueuePairRings {
  const { send, receive, record, blueFlame } = native.mlx5.takeQueuePair(handle)
  const mailbox = cells(SendMailbox.words)
  mailbox[SendMailbox.completed] = -1
  const ring = native.mlx5.sendBell(handle, mailbox)
  // MLX5_RCV_DBR and MLX5_SND_DBR, mlx5dv.h.
  const both = { send: ringAt(memory, send, record + 4), receive: ringAt(memory, receive, record) }
  const setReceives = recordSetter(both.receive.record, receiveMask)
  const rings: DirectQueuePair = {
    ...both,
    number,
    blueFlame,
    ringSend(producer, last, copied = 0) {
      integer('producer', producer, 0, 0xffff)
      integer('last', last, 0, 0xffff)
      integer('copied', copied, 0, blueFlame)
      mailbox[SendMailbox.producer] = producer
      mailbox[SendMailbox.last] = last
      mailbox[SendMailbox.blueFlame] = Math.ceil(copied / basicBlock) * basicBlock
      mailbox[SendMailbox.rung] = -1
      ring()
      if (mailbox[SendMailbox.rung] < 0) throw closedError('queue pair')
    },
    publishReceives(producer) {
      setReceives(integer('producer', producer, 0, receiveMask))
    },
  }
  return { rings, bell: { ring, mailbox } }
}

/** From here on libmlx5 leaves a completion queue's ring alone. @internal */
export function completionRing(memory: RingMemory, handle: number): CompletionRing {
  const { record, number, ...place } = native.mlx5.takeCompletionQueue(handle)
  const mailbox = cells(ArmMailbox.words)
  const bell = native.mlx5.armBell(handle, mailbox)
  // MLX5_CQ_SET_CI, the first word of the record (rdma-core's providers/mlx5/mlx5.h).
  const entries = ringAt(memory, place, record)
  const setConsumer = recordSetter(entries.record, consumerMask)
  const ring: CompletionRing['ring'] = {
    ...entries,
    number,
    setConsumerIndex(index) {
      setConsumer(integer('index', index, 0, consumerMask))
    },
    arm(sequence, index, solicitedOnly = false) {
      integer('sequence', sequence, 0, 3)
      integer('index', index, 0, 0xffffff)
      mailbox[ArmMailbox.arm] = (sequence << 28) | (solicitedOnly ? 1 << 24 : 0) | index
      mailbox[ArmMailbox.rung] = 0
      bell()
      if (mailbox[ArmMailbox.rung] === 0) throw closedError('completion queue')
    },
  }
  return { ring, mailbox }
}
