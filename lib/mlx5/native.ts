/** The exports of binding/mlx5/. */
export interface Mlx5Native {
  /** Why libmlx5 cannot be opened. */
  unavailable(): string | null
  isSupported(context: number): boolean
  queryDevice(context: number): NativeMlx5Device
  clockInfo(context: number): NativeClockInfo
  inlineHeaderBytes(context: number): number
  takeQueuePair(pair: number): NativeQueuePairRings
  /** A function that tells the device of sends: see {@link SendMailbox}. */
  sendBell(pair: number, mailbox: Int32Array): () => void
  takeCompletionQueue(queue: number): NativeCompletionRing
  /** `lacking`: the memory is too small, and so many bytes are needed at least. */
  createWorkQueue(
    domain: number,
    queue: number,
    options: {
      maxWr: number
      maxSge: number
      flags: number
      logStrideBytes: number
      logStrides: number
      twoByteShift: number
    },
    memory: Uint8Array<SharedArrayBuffer>,
  ): { handle: number; number: number; lacking?: number }
  modifyWorkQueue(queue: number, state: number): void
  takeWorkQueue(queue: number): NativePlace & { record: number }
  createIndirectionTable(queues: number[]): { handle: number; number: number }
  createRssQueuePair(
    domain: number,
    table: number,
    key: Uint8Array,
    fields: number,
  ): { handle: number; number: number }
  /** A function that asks for an event: the mailbox's word goes to the record and to the register. */
  armBell(queue: number, mailbox: Int32Array): () => void
}

/** Words of the send bell's mailbox (binding/mlx5/queue_pair_rings.h). */
export const SendMailbox = {
  status: 0,
  producer: 1,
  last: 2,
  blueFlame: 3,
  rung: 4,
  completed: 5,
  words: 6,
} as const
/** Words of the arm bell's mailbox (binding/mlx5/completion_queue_ring.h). */
export const ArmMailbox = { arm: 0, rung: 1, words: 2 } as const

/** Where a ring lies in the memory that was given for it; −1: elsewhere. */
export interface NativePlace {
  offset: number
  count: number
  stride: number
}

export interface NativeQueuePairRings {
  send: NativePlace
  receive: NativePlace
  record: number
  blueFlame: number
}

export interface NativeCompletionRing extends NativePlace {
  record: number
  number: number
}

/** Members of struct mlx5dv_clock_info. */
export interface NativeClockInfo {
  nanoseconds: bigint
  lastCycles: bigint
  fraction: bigint
  multiplier: bigint
  shift: bigint
  mask: bigint
}

/** Members of struct mlx5dv_context, with its masks as numbers. */
export interface NativeMlx5Device {
  version: number
  flags: number
  compression?: { maxCompletions: number; formats: number }
  softwareParsing?: { offloads: number; queuePairTypes: number }
  striding?: {
    minLogStrideBytes: number
    maxLogStrideBytes: number
    minLogStrides: number
    maxLogStrides: number
    queuePairTypes: number
  }
  tunnelOffloads?: number
  maxDynamicRegisters?: number
  maxClockInfoUpdate?: number
  lagPorts?: number
}
