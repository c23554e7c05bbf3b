import { cells } from './internals.js'

/** What the mock ports have in common: nothing to wait for, and nothing that the device counts or refuses. */
export abstract class MockQueue {
  readonly dropped = 0
  readonly describes = false
  readonly scarce = 2 ** 30
  readonly chunkSize = 2048
  readonly longest = cells(1).fill(1514)
  readonly attention = cells(1)
  /** An empty look needs no call: the hint's word stays 0. */
  readonly hint = { words: new Uint32Array(new SharedArrayBuffer(64)), at: cells(1), cell: 0, bits: 1 }
  readonly takesAll = false
  readonly completesOnKick = false
  readonly failing = false

  abstract kick(): number

  poll(): number {
    return 0
  }

  arm(): void {}
  disarm(): void {}
  promiscuous(): void {}
  joinGroup(): void {}
  leaveGroup(): void {}
  statistics({ received, truncated }: { received: number; truncated: number; unwanted: number }) {
    return { received, truncated, drops: {} }
  }
  bufferSizes(): { receive: number; send: number } {
    return { receive: 0, send: 0 }
  }
  close(): void {}
}
