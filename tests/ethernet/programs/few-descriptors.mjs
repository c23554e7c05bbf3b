// Opens a queue with ever more spare descriptors until one opens: what a failed opening leaves behind. The first opening
// of a process also reads the library's hot files, after the device is open. The limit on descriptors must be low.
// Usage: few-descriptors.mjs INTERFACE BACKEND, or: few-descriptors.mjs RDMA_DEVICE, for a completion queue

import { closeSync, openSync } from 'node:fs'
import { open } from 'ibverbs'
import { FramePool, PacketQueue } from 'ibverbs/ethernet'
import { census } from './census.mjs'

const [name, backend] = process.argv.slice(2)
const frames = new FramePool({ frameCount: 256 })
const context = backend === undefined ? open(name) : undefined
const openQueue = () => context?.createCompletionQueue(16) ?? PacketQueue.open(name, { backend, frames })
const failures = new Map()

/** Fails to open with so many spare descriptors, or opens and closes: the resources afterwards, or undefined. */
async function attempt(spare) {
  const taken = []
  let failed = true
  try {
    for (;;) taken.push(openSync('/dev/null'))
  } catch (error) {
    if (error.code !== 'EMFILE') throw error
  }
  for (const descriptor of taken.splice(0, spare)) closeSync(descriptor)
  try {
    openQueue().close()
    failed = false
  } catch (error) {
    if (error.code !== 'EMFILE') throw error
    failures.set(error.syscall, (failures.get(error.syscall) ?? 0) + 1)
  }
  for (const descriptor of taken) closeSync(descriptor)
  return failed ? { ...(await census()), free: frames.free } : undefined
}

const left = []
for (let spare = 0; ; spare++) {
  // What the process opens once and keeps, such as the software device, is there after the first attempt.
  const before = await attempt(spare)
  if (before === undefined) break
  let after
  for (let i = 0; i < 3; i++) after = await attempt(spare)
  left.push({ spare, before, after })
}
console.log(JSON.stringify({ failures: Object.fromEntries(failures), left }))
