/** Doorbell records, which lie in memory and hold how far a program has come, and what is written to registers. */
import { bits, decimal, hex, mlx5dv, named, type StructLayout, word } from './field.js'
import { ArmCommand } from './names.js'

/** The record of a queue pair or a work queue. Counters run on modulo 2¹⁶. */
export const workQueueRecord = {
  title: 'doorbell record of a work queue',
  struct: 'dbrec[MLX5_RCV_DBR, MLX5_SND_DBR]',
  source: mlx5dv,
  length: 8,
  fields: {
    receiveCounter: bits(0, 4, [15, 0], 'dbrec[MLX5_RCV_DBR]', decimal),
    sendCounter: bits(4, 4, [15, 0], 'dbrec[MLX5_SND_DBR]', decimal),
  },
} as const satisfies StructLayout

/** How a completion queue is armed: in its record, and in the same words in its register. */
const arm = (offset: number, member: string) =>
  ({
    /** One more with each event that was taken. */
    sequence: bits(offset, 4, [29, 28], member, decimal),
    command: bits(offset, 4, [24, 24], member, named(ArmCommand)),
    consumerIndex: bits(offset, 4, [23, 0], member, decimal),
  }) as const

/** The record of a completion queue. */
export const completionQueueRecord = {
  title: 'doorbell record of a completion queue',
  struct: 'dbrec[MLX5_CQ_SET_CI, MLX5_CQ_ARM_DB]',
  source: mlx5dv,
  length: 8,
  fields: {
    setConsumerIndex: bits(0, 4, [23, 0], 'dbrec[MLX5_CQ_SET_CI]', decimal),
    ...arm(4, 'dbrec[MLX5_CQ_ARM_DB]'),
  },
} as const satisfies StructLayout

/** The 64 bits that are written at MLX5_CQ_DOORBELL of a completion queue's register. */
export const completionQueueDoorbell = {
  title: 'doorbell of a completion queue',
  struct: 'cq_uar + MLX5_CQ_DOORBELL',
  source: mlx5dv,
  length: 8,
  fields: {
    ...arm(0, 'doorbell[0]'),
    completionQueueNumber: word(4, 4, 'doorbell[1]', hex),
  },
} as const satisfies StructLayout
