// An RC ping over RDMA, both ends in this process: node rc-ping.mjs [DEVICE [DEVICE]]
import { open } from 'ibverbs'

const [near, far] = [process.argv[2], process.argv[3] ?? process.argv[2]].map((name) => {
  const context = open(name) // the first device unless one is named
  const domain = context.allocateProtectionDomain()
  const memory = domain.registerMemory(4096)
  const cq = context.createCompletionQueue(128)
  const qp = domain.createQueuePair({ type: 'RC', cq })
  return { context, memory, cq, qp }
})

try {
  // Endpoints are plain JSON: between two hosts they go over a socket.
  near.qp.connect(far.qp.endpoint)
  far.qp.connect(near.qp.endpoint)

  far.qp.prepareReceive({ memory: far.memory }).post(1)
  far.qp.submit()

  const length = new TextEncoder().encodeInto('hello, RDMA', near.memory.bytes).written
  near.qp.prepareSend({ memory: near.memory }).post(2, 0, length)
  near.qp.submit()

  const signal = AbortSignal.timeout(5000)
  await far.cq.wait({ signal }) // asleep until a completion arrives
  const received = Buffer.from(far.memory.bytes.subarray(0, far.cq.byteLength[0])).toString()
  console.log(
    `${far.context.name} received ${far.cq.statusName(0)} "${received}" (cookie ${far.cq.cookie[0]})`,
  )

  await near.cq.wait({ signal })
  console.log(`${near.context.name} completed ${near.cq.opcodeName(0)} ${near.cq.statusName(0)}`)
} finally {
  near.context.close() // closes everything created from it
  far.context.close()
}
