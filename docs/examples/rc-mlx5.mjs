// RC messages whose requests and completions TypeScript writes and reads itself: node rc-mlx5.mjs [DEVICE]
import { open } from 'ibverbs'
import { createCompletionQueue, createQueuePair } from 'ibverbs/mlx5'

const context = open(process.argv[2])
const domain = context.allocateProtectionDomain()
const memory = domain.registerMemory(4096, { access: ['LOCAL_WRITE', 'REMOTE_WRITE', 'REMOTE_ATOMIC'] })
const cq = createCompletionQueue(domain, 128, { driver: 'mlx5' })
const qp = createQueuePair(domain, { type: 'RC', cq, driver: 'mlx5', maxInline: 64 })
qp.connect(qp.endpoint) // to itself

try {
  const length = new TextEncoder().encodeInto('by hand', memory.bytes).written
  qp.prepareReceive({ memory }).post(1, 1024, 64)
  qp.prepareSend({ memory, inline: true }).post(2, 0, length)
  qp.prepareFetchAndAdd({ memory, remote: memory.remote }).post(3, 2048, 3072, 42, 0)
  qp.submit() // writes them into the ring of the device and rings its doorbell
  for (let left = 3; left > 0; ) {
    const n = await cq.wait({ signal: AbortSignal.timeout(5000) })
    for (let i = 0; i < n; i++) console.log(`${cq.cookie[i]} ${cq.opcodeName(i)} ${cq.statusName(i)}`)
    left -= n
  }
  console.log(
    `received "${Buffer.from(memory.bytes.subarray(1024, 1024 + length))}", counted ${memory.bytes[3072]}`,
  )
} finally {
  context.close()
}
