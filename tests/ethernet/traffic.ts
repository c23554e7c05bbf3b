/** Frames with verifiable contents: each byte follows from the frame's number. */
import { PacketQueue, type PacketQueueOptions } from 'ibverbs/ethernet'
import { limit } from '../beds/limit.js'
import { softPair } from '../beds/soft-pair.js'
import { type VethPair, vethPair } from '../beds/veth.js'

/** Local experimental EtherType (IEEE 802). */
export const etherType = 0x88b5

export interface Wire extends Disposable {
  veth: VethPair
  a: PacketQueue
  b: PacketQueue
}

/** A veth pair, or two software ports, with a queue on each end. */
export function openWire(options: PacketQueueOptions & { mtu?: number } = {}): Wire {
  const { mtu, ...queueOptions } = options
  const raw = options.backend === 'raw_packet_qp' || options.backend === 'mlx5'
  const veth = raw ? softPair() : vethPair({ mtu })
  const given = raw ? options : queueOptions
  const a = PacketQueue.open(veth.a, given)
  const b = PacketQueue.open(veth.b, given)
  const close = (): void => {
    a.close()
    b.close()
    veth.remove()
  }
  return { veth, a, b, [Symbol.dispose]: close }
}

/** Every test of a queue's behaviour runs over each of these: a backend that does not work here fails. */
export const backends: readonly ('af_packet' | 'af_xdp')[] = process.env.IBVERBS_TEST_UNPRIVILEGED
  ? ['af_packet'] // AF_XDP needs privileges in the machine's own user namespace: tests/beds/beds.mjs says so
  : ['af_packet', 'af_xdp']

/** The backends that choose frames by address. */
export const addressing: readonly ('af_packet' | 'af_xdp' | 'raw_packet_qp' | 'mlx5')[] = [
  ...backends,
  'raw_packet_qp',
  'mlx5',
]

/**
 * The backends: AF_PACKET once for each receive path, and raw packet queue pairs on software devices, by both drivers, of
 * which one also receives into shared buffers.
 */
export const ways: readonly ('af_packet' | 'af_xdp' | 'recvmmsg' | 'raw_packet_qp' | 'mlx5' | 'striding')[] =
  [...backends, 'recvmmsg', 'raw_packet_qp', 'mlx5', 'striding']

/** Whether a queue's frames can share buffers: enough of them, none with headroom, none longer than a stride. */
function striding({
  transmitOnly,
  headroom,
  frames,
  frameCount = 4096,
  frameSize,
  mtu = 1500,
}: PacketQueueOptions) {
  const count = frames?.frameCount ?? frameCount
  const size = frames?.frameSize ?? frameSize ?? Math.max(2048, 2 ** Math.ceil(Math.log2(mtu + 18)))
  const least = Math.max(8, 16384 / size)
  return !transmitOnly && !(frames?.headroom ?? headroom) && size <= 8192 && count >= 4 * least
}

/** A backend's properties that the tests need, and queues on it. */
export function on(way: (typeof ways)[number]) {
  const xdp = way === 'af_xdp'
  const direct = way === 'mlx5' || way === 'striding'
  const raw = direct || way === 'raw_packet_qp'
  const packet = !xdp && !raw
  const backend = way === 'recvmmsg' ? 'af_packet' : way === 'striding' ? 'mlx5' : way
  const shared = (options: PacketQueueOptions = {}) =>
    way === 'striding' && striding(options) ? { striding: true } : undefined
  const receivePath = packet ? (way === 'recvmmsg' ? 'recvmmsg' : 'ring') : undefined
  return {
    xdp,
    raw,
    packet,
    backend,
    /** how frames leave the kernel */
    receivePath: raw ? null : (receivePath ?? 'ring'),
    /** the system calls in the errors of receiving and of sending */
    syscalls: {
      receive: direct ? 'ibverbs/mlx5' : raw ? 'ibv_poll_cq' : way === 'recvmmsg' ? 'recvmmsg' : 'poll',
      transmit: direct ? 'ibverbs/mlx5' : raw ? 'ibv_post_send' : xdp ? 'sendto' : 'sendmmsg',
    },
    /** bytes before a received frame that the kernel reserves (XDP_PACKET_HEADROOM) */
    reserve: xdp ? 256 : 0,
    /** how many frames a queue holds ready to receive into */
    filled: (queue: PacketQueue): number => (packet ? queue.batch : queue.frames.frameCount / 2),
    /** two ends of a wire, without queues */
    pair: (): VethPair => (raw ? softPair() : vethPair()),
    open: (name: string, options?: PacketQueueOptions): PacketQueue =>
      PacketQueue.open(name, { backend, receivePath, ...shared(options), ...options }),
    openWire: (options?: PacketQueueOptions & { mtu?: number }): Wire =>
      openWire({ backend, receivePath, ...shared(options), ...options }),
  }
}

/** Frame `number`, `length` bytes long. */
export function frame(
  to: PacketQueue | Uint8Array,
  from: PacketQueue,
  length: number,
  number = 0,
): Uint8Array {
  const bytes = new Uint8Array(length)
  bytes.set(to instanceof Uint8Array ? to : to.interface.macBytes, 0)
  bytes.set(from.interface.macBytes, 6)
  bytes[12] = etherType >> 8
  bytes[13] = etherType & 0xff
  for (let i = 14; i < length; i++) bytes[i] = (number * 31 + i * 7 + (i >> 8)) & 0xff
  return bytes
}

/** Puts a frame into the transmit ring. */
export function queueFrame(queue: PacketQueue, bytes: Uint8Array): void {
  const slot = queue.claim()
  if (slot < 0) throw new Error('no frame to claim')
  queue.memory.set(bytes, queue.offset(slot))
  queue.send(slot, bytes.length)
}

/** Sends frames now. */
export function transmit(queue: PacketQueue, ...frames: Uint8Array[]): void {
  for (const bytes of frames) queueFrame(queue, bytes)
  const accepted = queue.submit()
  if (accepted !== frames.length)
    throw queue.error ?? new Error(`${accepted} of ${frames.length} were accepted`)
}

/** Receives `count` frames, copies them, and releases their slots. */
export async function collect(queue: PacketQueue, count: number): Promise<Uint8Array[]> {
  const signal = AbortSignal.timeout(limit)
  const frames: Uint8Array[] = []
  while (frames.length < count) {
    await queue.wait({ signal })
    const n = queue.receive()
    for (let i = 0; i < n; i++) {
      const slot = queue.slot(i)
      frames.push(copy(queue, slot))
      queue.release(slot)
    }
  }
  return frames
}

/** A copy of a slot's frame. */
export function copy(queue: PacketQueue, slot: number): Uint8Array {
  const offset = queue.offset(slot)
  return Uint8Array.from(queue.memory.subarray(offset, offset + queue.length(slot)))
}

/** Receives one frame; the caller keeps its slot. */
export async function receiveOne(queue: PacketQueue): Promise<number> {
  const count = await queue.wait({ signal: AbortSignal.timeout(limit) })
  const n = queue.receive()
  if (count !== 1 || n !== 1) throw new Error(`expected one frame: ${count} announced, ${n} received`)
  return queue.slot(0)
}
