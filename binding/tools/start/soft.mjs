// The part of `npm start` on the software ConnectX: the machine's own libibverbs and libmlx5 write real work queue entries
// into real rings, and a NIC in user space executes them. Two devices, joined by a wire, both in this process.

import { open } from 'ibverbs'
import { PacketQueue } from 'ibverbs/ethernet'
import { softConnectX } from 'ibverbs/soft'
import { batch, printRoundTrips, rate, roundTrips } from './exchange.mjs'

const messageSize = 64

const soft = softConnectX({ wire: 'pair' })
try {
  const [near, far] = soft.devices().map(({ name }) => name)
  frames(near, far)
  console.log('')
  messages(near, far)
} finally {
  soft.close()
}

/** Raw packet queue pairs. */
function frames(near, far) {
  const left = PacketQueue.open(near, { batch })
  const right = PacketQueue.open(far, { batch })
  try {
    rate(left, right)
    roundTrips(left, right, 20_000)
  } finally {
    left.close()
    right.close()
  }
}

/** RC: a message there and back, its bytes checked. */
function messages(near, far) {
  const ends = [near, far].map((name) => {
    const context = open(name)
    const domain = context.allocateProtectionDomain()
    const memory = domain.registerMemory(2 * messageSize)
    const cq = context.createCompletionQueue(256)
    const qp = domain.createQueuePair({ type: 'RC', cq })
    const receive = qp.prepareReceive({ memory })
    const send = qp.prepareSend({ memory })
    return { name, context, memory, cq, qp, receive, send }
  })
  const [left, right] = ends
  try {
    left.qp.connect(right.qp.endpoint)
    right.qp.connect(left.qp.endpoint)
    for (const { qp, receive } of ends) {
      receive.post(0, messageSize, messageSize)
      qp.submit()
    }
    printRoundTrips(`an RC message of ${messageSize} bytes, ${near} ↔ ${far}`, 20_000, (i) => {
      message(left, right, i)
      message(right, left, i)
    })
  } finally {
    for (const { context } of ends) context.close()
  }
}

function message(from, to, number) {
  for (let i = 0; i < messageSize; i++) from.memory.bytes[i] = number + i
  from.send.post(0, 0, messageSize)
  from.qp.submit()
  for (let received = 0; received === 0; ) received = take(to)
  for (let i = 0; i < messageSize; i++) {
    if (to.memory.bytes[messageSize + i] !== ((number + i) & 0xff))
      throw new Error(`message ${number} is not as sent`)
  }
  to.receive.post(0, messageSize, messageSize)
}

/** Polls once: how many messages came. Completions of sends are only looked at. */
function take({ name, cq }) {
  let received = 0
  for (let i = 0, n = cq.poll(); i < n; i++) {
    if (cq.status[i] !== 0) throw new Error(`${name}: ${cq.opcodeName(i)} ended with ${cq.statusName(i)}`)
    if (cq.opcodeName(i) === 'RECV') received++
  }
  return received
}
