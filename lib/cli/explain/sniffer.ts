/** Copies of what passes the port: a raw packet queue pair with the device's built-in sniffer rule. */
import { setImmediate as turn } from 'node:timers/promises'
import type { CompletionQueue, MemoryRegion, ProtectionDomain, QueuePair } from '../../index.js'

const most = 16
const longest = 2048

export class Sniffer {
  readonly #cq: CompletionQueue
  readonly #memory: MemoryRegion

  private constructor(cq: CompletionQueue, memory: MemoryRegion) {
    this.#cq = cq
    this.#memory = memory
  }

  /** Undefined on a device that copies nothing to programs. */
  static open(domain: ProtectionDomain): Sniffer | undefined {
    const cq = domain.context.createCompletionQueue(2 * most)
    let pair: QueuePair | undefined
    try {
      pair = domain.createQueuePair({ type: 'RAW_PACKET', cq, maxSendWr: 1, maxReceiveWr: most })
      pair.connect()
      pair.createFlow('sniffer')
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code !== 'ENOTSUP' && code !== 'EPERM' && code !== 'EINVAL') throw error
      pair?.close()
      cq.close()
      return undefined
    }
    const memory = domain.registerMemory(most * longest)
    const receive = pair.prepareReceive({ memory })
    for (let i = 0; i < most; i++) receive.post(i, i * longest, longest)
    pair.submit()
    return new Sniffer(cq, memory)
  }

  /** The frames so far. */
  async frames(signal: AbortSignal): Promise<Uint8Array[]> {
    const frames: Uint8Array[] = []
    // They were copied before the completions of what they carried; the event loop's turns only give the device's thread room.
    for (let quiet = 0; quiet < 10 && !signal.aborted; quiet++) {
      const count = this.#cq.poll()
      for (let i = 0; i < count; i++) {
        const at = this.#cq.cookie[i] * longest
        frames.push(this.#memory.bytes.slice(at, at + this.#cq.byteLength[i]))
        quiet = 0
      }
      await turn()
    }
    return frames
  }
}
