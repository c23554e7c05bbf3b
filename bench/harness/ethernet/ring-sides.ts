import { fileURLToPath } from 'node:url'
import type { Session } from '../bench.js'
import { startChild } from '../child.js'
import type { Side } from '../compare.js'

const worker = fileURLToPath(new URL('ring-worker.js', import.meta.url))

/** Ours on rings in plain memory: [ns per frame]. */
export const ringSide = (batch: number, request: string, queues = 1): Promise<Side> =>
  side(process.execPath, [worker, JSON.stringify({ batch, queues })], request)

/** Ours on a ConnectX's rings in plain memory. */
export const cardSide = (batch: number, request: string, card: 'multi-packet' | 'single'): Promise<Side> =>
  side(process.execPath, [worker, JSON.stringify({ batch, card })], request)

/** The same in C. */
export const cRingSide = (session: Session, batch: number, request: string): Promise<Side> =>
  side(session.peer('ring_cost'), [`batch=${batch}`], request)

async function side(command: string, args: readonly string[], request: string): Promise<Side> {
  const child = await startChild(command, args)
  return { run: () => child.request(request), close: () => child.close() }
}
