// Opens a queue and waits, or not: does the process end by itself? Usage: idle.mjs INTERFACE open|aborted|unref|wait BACKEND
import { PacketQueue } from 'ibverbs/ethernet'

const [name, how, backend] = process.argv.slice(2)
const queue = PacketQueue.open(name, { backend })
console.log(how)
if (how === 'aborted') {
  const controller = new AbortController()
  const waiting = queue.wait({ signal: controller.signal })
  controller.abort()
  await waiting.catch(() => {})
}
// A top-level await that nothing can settle any more ends the process with code 13.
if (how === 'unref') await queue.unref().wait()
if (how === 'wait') {
  const slot = queue.claim()
  queue.send(slot, 60)
  queue.submit()
  console.log(await queue.wait())
}
