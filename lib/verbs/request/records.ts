/**
 * The records that cross the native boundary, as words of 32 bits in a SharedArrayBuffer. binding/verbs/records.h
 * states the same in C++, field by field; any change there changes the version in lib/native.ts.
 */
/** Control words of a queue pair, which the binding writes. */
export const Control = {
  sendOutstanding: 0,
  receiveOutstanding: 1,
  errno: 2,
  reason: 3,
  detail: 4,
  cookie: 5,
  isReceive: 6,
  submitted: 7,
} as const
export const controlWords = 16

/** Words of a send request. Datagrams and atomics share words: no queue pair has both. */
export const Send = {
  head: 0,
  cookie: 1,
  immediate: 2,
  rkey: 3,
  remoteLow: 4,
  remoteHigh: 5,
  addressHandle: 6,
  remoteQpn: 7,
  remoteQkey: 8,
  compareLow: 6,
  compareHigh: 7,
  swapLow: 8,
  swapHigh: 9,
  elements: 12,
} as const

/** Words of a receive request. */
export const Receive = { head: 0, cookie: 1, elements: 4 } as const

/** Words of a scatter/gather element. */
export const Element = { region: 0, offsetLow: 1, offsetHigh: 2, length: 3 } as const
export const elementWords = 4

/** Words of a record that can have so many elements, a power of two. */
const wordsOf = (first: number, maxSge: number) => 2 ** Math.ceil(Math.log2(first + maxSge * elementWords))
export const sendWords = (maxSge: number) => wordsOf(Send.elements, maxSge)
export const receiveWords = (maxSge: number) => wordsOf(Receive.elements, maxSge)

/** Columns of a completion, each as long as the queue's batch. */
export const Completion = {
  cookie: 0,
  status: 1,
  opcode: 2,
  byteLength: 3,
  immediate: 4,
  flags: 5,
  qpn: 6,
  sourceQpn: 7,
  vendorError: 8,
  flowTag: 9,
  path: 10,
} as const
export const completionColumns = 16

/** Control words of a completion queue, behind its columns. */
export const QueueControl = { kept: 0 } as const
export const queueControlWords = 16

/** Words of a completion ring of SoftRoCE: struct rxe_queue_buf, rdma/rdma_user_rxe.h. */
export const RxeRing = { producer: 32, consumer: 64 } as const

/** ibv_wr_opcode (verbs.h). */
export const WorkRequestOpcode = {
  RDMA_WRITE: 0,
  RDMA_WRITE_WITH_IMM: 1,
  SEND: 2,
  SEND_WITH_IMM: 3,
  RDMA_READ: 4,
  ATOMIC_CMP_AND_SWP: 5,
  ATOMIC_FETCH_AND_ADD: 6,
} as const

/** ibv_send_flags (verbs.h). */
export const SendFlag = { FENCE: 1, SIGNALED: 2, SOLICITED: 4, INLINE: 8, IP_CSUM: 16 } as const
