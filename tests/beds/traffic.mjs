/**
 * Endless traffic: an RC ping-pong between rxe0 and rxe1 in one thread, with posted requests and a pending wait at all
 * times. Runs as a worker (posts 'running' to its parent after a few rounds) or as a program.
 */
import { parentPort } from 'node:worker_threads'
import { open } from 'ibverbs'

function side(name) {
  const context = open(name)
  const domain = context.allocateProtectionDomain()
  const cq = context.createCompletionQueue(256)
  const memory = domain.registerMemory(1 << 20)
  const pair = domain.createQueuePair({ type: 'RC', cq })
  return { context, cq, memory, pair }
}

async function play({ cq, memory, pair }, onRound) {
  const receive = pair.prepareReceive({ memory })
  const send = pair.prepareSend({ memory, signaled: false })
  for (let i = 0; i < 32; i++) receive.post(i, 4096 * i, 4096)
  pair.submit()
  for (let round = 0; ; ) {
    const count = await cq.wait()
    for (let i = 0; i < count; i++) {
      if (cq.statusName(i) !== 'SUCCESS') throw new Error(cq.statusName(i))
      receive.post(cq.cookie[i], 4096 * cq.cookie[i], 4096)
      send.post(0, 1 << 19, 4096)
      onRound?.(++round)
    }
    pair.submit()
  }
}

/** Starts it; calls `onRound` for each message that returns. Returns the two ends. */
export function start(onRound) {
  const [a, b] = process.env.IBVERBS_SOFT
    ? ['mlx5_soft0', 'mlx5_soft1'].map(side)
    : ['rxe0', 'rxe1'].map(side)
  a.pair.connect(b.pair.endpoint)
  b.pair.connect(a.pair.endpoint)
  play(a, onRound)
  play(b)
  // Eight messages are in flight at any time.
  const send = a.pair.prepareSend({ memory: a.memory, signaled: false })
  for (let i = 0; i < 8; i++) send.post(0, 1 << 19, 4096)
  a.pair.submit()
  return { a, b }
}

if (parentPort) start((round) => round === 20 && parentPort.postMessage('running'))
