import { startChild } from '../child.js'
import type { Side } from '../compare.js'

/**
 * A peer of bench/peers as a side: one request line for each round; all numbers of its answer are multiplied by `factor`.
 */
export async function peerSide(
  command: readonly [string, ...string[]],
  request: string,
  factor = 1,
): Promise<Side> {
  const child = await startChild(command[0], command.slice(1))
  return {
    async run() {
      return (await child.request(request)).map((value) => value * factor)
    },
    close: () => child.close(),
  }
}
