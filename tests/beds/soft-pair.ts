/**
 * The soft bed for packet queues: ports of software ConnectX, two and two on one wire, in this very process. They need no
 * privilege, and a child process that a test starts has its own of the same names.
 */
import { onOver } from './over.js'
import type { VethPair } from './veth.js'

const pairs = 4
/** Read when the addon first looks for devices (ibverbs/soft), which is after a test asked for a pair. */
const wires = Array.from({ length: pairs * 2 }, (_, i) => `pair:${i >> 1}`).join(';')

const free = Array.from({ length: pairs }, (_, i) => i)

/** Two ports that hear each other and nobody else, until they are given back. */
export function softPair(): VethPair {
  process.env.IBVERBS_SOFT ??= wires
  const pair = free.shift()
  if (pair === undefined) throw new Error(`all ${pairs} pairs of software ports are in use`)
  let removed = false
  const remove = (): void => {
    if (!removed) free.push(pair)
    removed = true
  }
  onOver(remove)
  return { a: `mlx5_soft${pair * 2}/1`, b: `mlx5_soft${pair * 2 + 1}/1`, remove, [Symbol.dispose]: remove }
}
