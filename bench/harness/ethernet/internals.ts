/** Modules of the library that the benchmarks use and that are not public. */

const dist = new URL('../../../../dist/', import.meta.url)
const load = (path: string) => import(new URL(path, dist).href)

const queue: typeof import('../../../dist/ethernet/packet-queue.js') = await load('ethernet/packet-queue.js')
const ring: typeof import('../../../dist/ring/ring.js') = await load('ring/ring.js')

export const { queueOver } = queue
export const { allocateRing, cells } = ring
export const Producer = ring.Producer
export type Producer = import('../../../dist/ring/ring.js').Producer
export const Consumer = ring.Consumer
export type Consumer = import('../../../dist/ring/ring.js').Consumer
