import { performance } from 'node:perf_hooks'
import type { CompletionQueue, Endpoint, PreparedReceive, PreparedSend, QueuePair } from 'ibverbs'
import type { Side } from '../compare.js'
import { percentile } from '../statistics.js'
import { connectedPair, type End } from './end.js'
import type { PairParameters } from './parameters.js'

const sendCookie = 0
const receiveCookie = 1

/** One end of a ping-pong: sends a message, awaits one. */
export class Player {
  readonly #end: End
  readonly #pair: QueuePair
  readonly #cq: CompletionQueue
  readonly #send: PreparedSend
  readonly #receive: PreparedReceive
  readonly #size: number
  readonly #receiveOffset: number
  readonly #receiveLength: number
  #unretired = 0

  constructor(end: End, remote: Endpoint) {
    this.#end = end
    this.#pair = end.pair
    this.#cq = end.cq
    this.#send = end.send(remote)
    this.#receive = end.receive(receiveCookie)
    this.#size = end.parameters.size
    this.#receiveOffset = end.receiveOffset
    this.#receiveLength = end.receiveLength
  }

  /** Posts a send; the next submit passes it on. */
  send(): void {
    if (this.#send.post(sendCookie, 0, this.#size) !== 0) throw new Error('the send queue is full')
    this.#unretired++
  }

  /** Posts a receive in place of a consumed one; the next submit passes it on. */
  receive(): void {
    if (this.#receive.post(receiveCookie, this.#receiveOffset, this.#receiveLength) !== 0) {
      throw new Error('the receive queue is full')
    }
  }

  /** Submits the posted requests to the device. */
  submit(): void {
    this.#pair.submit()
    if (this.#pair.error !== null) throw this.#pair.error
  }

  /** Polls until a message has arrived. */
  awaitMessage(): void {
    const cq = this.#cq
    let received = 0
    while (received === 0) {
      const count = cq.poll()
      for (let i = 0; i < count; i++) {
        if (cq.status[i] !== 0) this.#end.fail(i)
        if (cq.cookie[i] === receiveCookie) received++
        else this.#unretired--
      }
    }
  }

  /** Polls until every send has completed. */
  settle(): void {
    const cq = this.#cq
    while (this.#unretired > 0) {
      const count = cq.poll()
      for (let i = 0; i < count; i++) if (cq.status[i] !== 0) this.#end.fail(i)
      this.#unretired -= count
    }
  }
}

/** Answers each of `count` messages with one. */
export function echo(player: Player, count: number): void {
  for (let i = 0; i < count; i++) {
    player.awaitMessage()
    player.receive()
    player.send()
    player.submit()
  }
  player.settle()
}

/** Times round trips between one player and another, in this process or in its own, where it echoes. */
export class PingPong {
  readonly #near: Player
  readonly #far: Player | null
  #stamps = new Float64Array(0)

  /** @param far null if the other end echoes in its own process */
  constructor(near: Player, far: Player | null) {
    this.#near = near
    this.#far = far
  }

  #roundTrip(): void {
    const near = this.#near
    const far = this.#far
    near.send()
    near.submit()
    if (far !== null) {
      far.awaitMessage()
      far.receive()
      far.send()
      far.submit()
    }
    near.awaitMessage()
    near.receive()
  }

  /** [p50, p99, mean] of `count` round trips after `warmup` untimed ones, in ns. */
  run(count: number, warmup: number): number[] {
    if (this.#stamps.length !== count + 1) this.#stamps = new Float64Array(count + 1)
    const stamps = this.#stamps
    for (let i = 0; i < warmup; i++) this.#roundTrip()
    // One reading of the clock for each round trip, like perftest.
    for (let i = 0; i < count; i++) {
      stamps[i] = performance.now()
      this.#roundTrip()
    }
    stamps[count] = performance.now()

    this.#near.submit()
    this.#near.settle()
    this.#far?.settle()
    const mean = ((stamps[count] - stamps[0]) / count) * 1e6
    for (let i = 0; i < count; i++) stamps[i] = (stamps[i + 1] - stamps[i]) * 1e6
    const sorted = stamps.subarray(0, count).sort()
    return [percentile(sorted, 50), percentile(sorted, 99), mean]
  }
}

/** Ours, both ends in this process: the same as bench/peers/pingpong.c. [p50, p99, mean] in µs. */
export function pingPongSide(parameters: PairParameters, count: number, warmup: number): Side {
  const [a, b] = connectedPair(parameters)
  const near = new Player(a, b.pair.endpoint)
  const far = new Player(b, a.pair.endpoint)
  const pingPong = new PingPong(near, far)
  let round = 0
  return {
    run() {
      round = (round % 255) + 1
      for (const end of [a, b]) end.fill(round)
      const result = pingPong.run(count, warmup).map((ns) => ns / 1000)
      for (const end of [a, b]) end.verify(round)
      return result
    },
    close() {
      for (const end of [a, b]) end.close()
    },
  }
}

/** Ours: [ns] of one empty poll. */
export function emptyPollSide(parameters: PairParameters, count: number, warmup: number): Side {
  const [a, b] = connectedPair(parameters)
  return {
    run() {
      emptyPolls(a.cq, warmup)
      const begin = performance.now()
      const found = emptyPolls(a.cq, count)
      const end = performance.now()
      if (found !== 0) throw new Error('the completion queue was not empty')
      return [((end - begin) * 1e6) / count]
    },
    close() {
      for (const end of [a, b]) end.close()
    },
  }
}

function emptyPolls(cq: CompletionQueue, count: number): number {
  let found = 0
  for (let i = 0; i < count; i++) found += cq.poll()
  return found
}
