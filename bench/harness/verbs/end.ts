import {
  type CompletionQueue,
  type Context,
  type Endpoint,
  type MemoryRegion,
  open,
  type PreparedReceive,
  type PreparedSend,
  type QueuePair,
} from 'ibverbs'
import { grhSize, type PairParameters, pollBatch } from './parameters.js'

const page = 4096

/**
 * One end of a pair, in ours: device, queue pair, and memory whose first half it sends and whose second half it receives
 * into.
 */
export class End {
  readonly context: Context
  readonly memory: MemoryRegion
  readonly cq: CompletionQueue
  readonly pair: QueuePair
  /** Offset of the second half. */
  readonly receiveOffset: number
  /** Bytes of a receive. */
  readonly receiveLength: number
  readonly parameters: PairParameters

  constructor(side: 0 | 1, parameters: PairParameters) {
    const { devices, gidIndices, type, size, inline, sendDepth, receiveDepth } = parameters
    this.parameters = parameters
    this.context = open(devices[side])
    const domain = this.context.allocateProtectionDomain()
    this.receiveOffset = Math.ceil((size + grhSize) / page) * page
    this.receiveLength = size + (type === 'UD' ? grhSize : 0)
    this.memory = domain.registerMemory(2 * this.receiveOffset, { access: ['LOCAL_WRITE', 'REMOTE_WRITE'] })
    this.cq = this.context.createCompletionQueue(sendDepth + receiveDepth, { batch: pollBatch })
    this.pair = domain.createQueuePair({
      type,
      cq: this.cq,
      maxSendWr: sendDepth,
      maxReceiveWr: receiveDepth,
      maxInline: inline,
      gidIndex: gidIndices[side],
    })
  }

  connect(remote: Endpoint): void {
    const { type } = this.parameters
    if (type === 'UD') this.pair.connect()
    else {
      const reads = type === 'RC' && { maxRdAtomic: 1, maxDestRdAtomic: 1 }
      this.pair.connect(remote, { access: ['REMOTE_WRITE'], ...reads })
    }
  }

  /** A prepared send to the other end; inline if the message fits. */
  send(remote: Endpoint, signaled = true): PreparedSend {
    const { type, size, inline } = this.parameters
    return this.pair.prepareSend({
      memory: this.memory,
      inline: size <= inline,
      signaled,
      ...(type === 'UD' && {
        addressHandle: this.pair.domain.createAddressHandle(remote),
        remoteQueuePair: remote.queuePairNumber,
        remoteQueueKey: remote.queueKey,
      }),
    })
  }

  /** A prepared receive, posted as often as the queue has room. */
  receive(cookie: number): PreparedReceive {
    const receive = this.pair.prepareReceive({ memory: this.memory })
    while (receive.post(cookie, this.receiveOffset, this.receiveLength) === 0);
    const { receiveDepth } = this.parameters
    const accepted = this.pair.submit()
    if (accepted !== receiveDepth)
      throw this.pair.error ?? new Error(`${accepted} of ${receiveDepth} receives posted`)
    return receive
  }

  /** Fills the bytes to send. */
  fill(byte: number): void {
    this.memory.bytes.fill(byte, 0, this.parameters.size)
  }

  /** Throws unless every byte of the last received message is `byte`. */
  verify(byte: number): void {
    const { size } = this.parameters
    const begin = this.receiveOffset + this.receiveLength - size
    for (let i = begin; i < begin + size; i++) {
      if (this.memory.bytes[i] !== byte)
        throw new Error('the bytes that arrived are not those that were sent')
    }
  }

  /** Throws the error of a failed completion. */
  fail(row: number): never {
    throw new Error(
      `completion failed: ${this.cq.statusName(row)} (vendor error ${this.cq.vendorError[row]})`,
    )
  }

  /** Moves to the error state first: rxe of Linux 6.1 wants a queue pair drained before it is destroyed. */
  close(): void {
    this.pair.modify({ state: 'ERR' })
    this.context.close()
  }
}

/** Two ends in this process, connected. */
export function connectedPair(parameters: PairParameters): [End, End] {
  const a = new End(0, parameters)
  const b = new End(1, parameters)
  a.connect(b.pair.endpoint)
  b.connect(a.pair.endpoint)
  return [a, b]
}
