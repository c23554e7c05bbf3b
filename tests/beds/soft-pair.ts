/**
 * The soft bed for packet queues: ports of software ConnectX in this process, connected in pairs. They need no privilege,
 * and a child process that a test starts has its own under the same names.
 */
import { onOver } from './over.js'
import type { VethPair } from './veth.js'

const pairs = 4
/** The addon reads IBVERBS_SOFT when it first looks for devices (ibverbs/soft), after a test has asked for a pair. */
const wires = Array.from({ length: pairs * 2 }, (_, i) => `pair:${i >> 1}`).join(';')

const free = Array.from({ length: pairs }, (_, i) => i)

/** Two ports that receive from each other only, until they are returned. */
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
