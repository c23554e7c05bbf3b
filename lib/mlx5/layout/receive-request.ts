/** Receive requests: a list of data segments; behind a head where the queue is a list or strides. */
import { decimal, hex, mlx5dv, type StructLayout, word } from './field.js'

/** The head of a shared receive queue's request, and of a striding one's (mlx5_mprq_wqe). */
export const nextSegment = {
  title: 'next segment',
  struct: 'mlx5_wqe_srq_next_seg',
  source: mlx5dv,
  length: 16,
  fields: {
    nextIndex: word(2, 2, 'next_wqe_index', decimal),
    signature: word(4, 1, 'signature', hex),
  },
} as const satisfies StructLayout
