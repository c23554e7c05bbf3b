// Transfers one of the kernel's rings away from its queue, as far as this Node allows, uses the queue, closes it, and
// reads and writes on. Usage: transfer.mjs RING INTERFACE_A INTERFACE_B
import assert from 'node:assert'
import { PacketQueue } from 'ibverbs/ethernet'

const [name, a, b] = process.argv.slice(2)
const turn = () => new Promise((resolve) => setImmediate(resolve))

for (const how of ['transfer', 'shrink', 'clone']) {
  const sender = PacketQueue.open(a, { backend: 'af_packet' })
  const queue = PacketQueue.open(b, { backend: 'af_xdp' })
  const words = queue.rings[name]
  const { buffer } = words
  let moved
  if (how === 'clone') {
    try {
      // Node 20 copies a buffer that it must not transfer; later versions throw DataCloneError.
      moved = structuredClone(buffer, { transfer: [buffer] })
    } catch (error) {
      assert.equal(error.name, 'DataCloneError')
    }
  } else if ('transfer' in buffer) {
    moved = how === 'shrink' ? buffer.transfer(64) : buffer.transfer()
  }
  const gone = words.length === 0
  for (let i = 0; i < 5; i++) {
    globalThis.gc?.()
    await turn()
  }
  const failures = []
  const slot = sender.claim()
  sender.memory.set(queue.interface.macBytes, sender.offset(slot))
  sender.send(slot, 60)
  sender.submit()
  const uses = [
    () => queue.receive(),
    () => {
      const slot = queue.claim()
      if (slot >= 0) queue.send(slot, 60)
    },
    () => queue.submit(),
    () => queue.statistics(),
    () => queue.rings,
  ]
  // A ring's loss shows at the latest when every frame was sent: hot code does not look at once.
  for (let round = 0; round === 0 || (gone && failures.length === 0 && round < 10_000); round++) {
    for (const use of uses) {
      try {
        use()
      } catch (error) {
        failures.push(error)
      }
    }
  }
  if (gone) assert(failures.length > 0)
  for (const error of failures) assert(error instanceof TypeError, error)
  queue.close()
  assert(words.every((word) => word === 0))
  if (moved) {
    const view = new Uint32Array(moved)
    // Zeros in the kernel's ring's place; a copy belongs to its user.
    if (gone && how === 'transfer') assert(view.every((word) => word === 0))
    view.fill(7)
  }
  sender.close()
  for (let i = 0; i < 5; i++) {
    globalThis.gc?.()
    await turn()
  }
}
console.log('alive')
