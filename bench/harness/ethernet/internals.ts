/** Modules of the library that the benchmarks use and that are not public. */

const dist = new URL('../../../../dist/', import.meta.url)
const load = (path: string) => import(new URL(path, dist).href)

const queue: typeof import('../../../dist/ethernet/packet-queue.js') = await load('ethernet/packet-queue.js')
const ring: typeof import('../../../dist/ring/ring.js') = await load('ring/ring.js')

const sending: typeof import('../../../dist/mlx5/driver/send-queue.js') =
  await load('mlx5/driver/send-queue.js')
const receiving: typeof import('../../../dist/mlx5/driver/receive-queue.js') = await load(
  'mlx5/driver/receive-queue.js',
)
const mlx5: typeof import('../../../dist/mlx5/native.js') = await load('mlx5/native.js')

export const { sendQueue } = sending
export const { receiveQueue } = receiving
export const { SendMailbox } = mlx5
export const { queueOver } = queue
export const { allocateRing, cells } = ring
export const Producer = ring.Producer
export type Producer = import('../../../dist/ring/ring.js').Producer
export const Consumer = ring.Consumer
export type Consumer = import('../../../dist/ring/ring.js').Consumer
