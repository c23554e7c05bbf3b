/**
 * Plain loads and stores hand a ring's records over between two processors in order, as hot code relies on where
 * `plainAccess` says so (lib/hot/own-copy.ts). Elsewhere the same program runs with Atomics.
 */
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { expect, test } from 'vitest'
import { plainAccess } from '../../dist/hot/own-copy.js'

const program = fileURLToPath(new URL('programs/litmus.mjs', import.meta.url))
/** More on each other version of Node: `npm run test:nodes`. */
const messages = process.env.IBVERBS_LITMUS ? 100_000_000 : 10_000_000

test(`${messages} messages between two threads: each payload is there when its index is`, async () => {
  const memory = new SharedArrayBuffer((32 + 1024 * 4) * 4)
  const workers = ['produce', 'consume'].map(
    (role) => new Worker(program, { workerData: { role, memory, messages, plain: plainAccess } }),
  )
  const results = await Promise.all(
    workers.map(async (worker) => {
      const [result] = await once(worker, 'message')
      await worker.terminate()
      return result
    }),
  )
  expect(results).toEqual([
    { role: 'produce', messages, wrong: 0 },
    { role: 'consume', messages, wrong: 0 },
  ])
})
