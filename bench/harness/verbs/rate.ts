import { performance } from 'node:perf_hooks'
import type { Side } from '../compare.js'
import { connectedPair, type End } from './end.js'
import type { RateParameters } from './parameters.js'

/** Posts one message of a batch, with its cookie. */
type Post = (last: boolean) => void

/** Ours, both ends in this process: the same as bench/peers/rate.c. [messages per second]. */
export function rateSide(parameters: RateParameters, count: number, warmup: number): Side {
  const [a, b] = connectedPair(parameters)
  const transfer = new Transfer(parameters, a, b)
  let round = 0
  return {
    run() {
      round = (round % 255) + 1
      a.fill(round)
      transfer.run(warmup)
      const begin = performance.now()
      transfer.run(count)
      const end = performance.now()
      b.verify(round)
      return [(count * 1000) / (end - begin)]
    },
    close() {
      for (const end of [a, b]) end.close()
    },
  }
}

class Transfer {
  readonly #parameters: RateParameters
  readonly #a: End
  readonly #b: End
  readonly #post: Post
  readonly #postReceive: () => number

  constructor(parameters: RateParameters, a: End, b: End) {
    this.#parameters = parameters
    this.#a = a
    this.#b = b
    const { size, inline } = parameters
    if (parameters.operation === 'write') {
      const options = { memory: a.memory, remote: b.memory.remote, inline: size <= inline }
      const signaled = a.pair.prepareWrite({ ...options, signaled: true })
      const unsignaled = a.pair.prepareWrite({ ...options, signaled: false })
      const { receiveOffset } = b
      this.#post = (last) => check((last ? signaled : unsignaled).post(0, 0, size, receiveOffset))
      this.#postReceive = () => 0
    } else {
      const signaled = a.send(b.pair.endpoint, true)
      const unsignaled = a.send(b.pair.endpoint, false)
      const receive = b.receive(0)
      const { receiveOffset, receiveLength } = b
      this.#post = (last) => check((last ? signaled : unsignaled).post(0, 0, size))
      this.#postReceive = () => receive.post(0, receiveOffset, receiveLength)
    }
  }

  run(total: number): void {
    const { operation, batch, signal, sendDepth, receiveDepth } = this.#parameters
    const write = operation === 'write'
    const [a, b] = [this.#a, this.#b]
    let posted = 0
    let retired = 0
    let received = 0
    let reposted = 0
    while (retired < total || (!write && received < total)) {
      // The last condition keeps the receive queue from running empty, which would cost an RNR timer.
      while (
        posted < total &&
        posted - retired + batch <= sendDepth &&
        (write || posted - reposted + batch <= receiveDepth)
      ) {
        for (let i = 1; i <= batch; i++) this.#post(i % signal === 0)
        if (a.pair.submit() !== batch) throw a.pair.error ?? new Error('the batch was not taken whole')
        posted += batch
      }
      retired += this.#poll(a) * signal
      if (write) continue
      received += this.#poll(b)
      while (received - reposted >= batch) {
        for (let i = 0; i < batch; i++) check(this.#postReceive())
        if (b.pair.submit() !== batch) throw b.pair.error ?? new Error('the batch was not taken whole')
        reposted += batch
      }
    }
  }

  #poll(end: End): number {
    const cq = end.cq
    const count = cq.poll()
    for (let i = 0; i < count; i++) if (cq.status[i] !== 0) end.fail(i)
    return count
  }
}

function check(result: number): void {
  if (result !== 0) throw new Error('the queue is full')
}
