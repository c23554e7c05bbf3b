import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { softLibraryPath } from 'ibverbs/soft'
import type { Session } from '../bench.js'
import { LineChild } from '../child.js'
import type { Side } from '../compare.js'
import { processors } from '../ethernet/sides.js'

const worker = fileURLToPath(new URL('raw-worker.js', import.meta.url))

/** Of both sides: bytes of a frame, frames to a batch, and the most frames under way. */
export interface RawParameters {
  size: number
  batch: number
  window: number
}

/** Frames that one round transfers: some milliseconds; two spinning threads on two processors are not left alone for longer. */
const roundOf = (batch: number): number => (batch === 1 ? 8000 : 32_000)

/** Ours: a queue of this backend that receives what it sends, [frames a second]. */
export const ourRawSide = (parameters: RawParameters, backend: 'mlx5' | 'raw_packet_qp'): Promise<Side> =>
  side([process.execPath, worker, JSON.stringify({ ...parameters, backend })], roundOf(parameters.batch))

/**
 * The same in C, through libibverbs.
 *
 * @param direct over the device's own rings instead
 * @param library another build's libibverbs_soft.so
 */
export function cRawSide(
  session: Session,
  parameters: RawParameters,
  { direct = false, library = softLibraryPath() } = {},
): Promise<Side> {
  const words = Object.entries(parameters).map(([name, value]) => `${name}=${value}`)
  const command = [`LD_PRELOAD=${library}`, session.peer('soft_raw'), ...words]
  return side(direct ? [...command, 'direct=1'] : command, roundOf(parameters.batch))
}

/** A process whose software device receives what it sends; its main thread on the first processor, its NIC on the other. */
async function side(command: readonly string[], count: number): Promise<Side> {
  const [cpu] = processors()
  const child = new LineChild('env', ['IBVERBS_SOFT=loop', ...command])
  try {
    await child.ready()
    execFileSync('taskset', ['-cp', String(cpu), String(child.pid)], { stdio: 'ignore' })
  } catch (error) {
    await child.close().catch(() => {}) // the error that matters is why it did not start
    throw error
  }
  return { run: () => child.request(`loop ${count} ${count}`), close: () => child.close() }
}
