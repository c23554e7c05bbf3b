import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { PacketQueueOptions } from 'ibverbs/ethernet'
import type { Session } from '../bench.js'
import { LineChild } from '../child.js'
import type { Side } from '../compare.js'
import { type Backend, peerOf } from './backends.js'
import { giveWire, receivedBy, takeWire, type Wire } from './wires.js'

export type Operation = 'tx' | 'rx' | 'forward' | 'service'

/** How a side moves frames. */
export interface FrameParameters {
  backend: Backend
  size: number
  batch: number
  /** How the C peer receives with AF_PACKET: recvmmsg, or a ring. */
  ring?: 'none' | 'v2' | 'v3'
  /** The C peer does with AF_PACKET what our queue does besides moving frames (bench/peers/packet_frames.c). */
  duties?: 'all'
  /** Options of our queues. */
  queue?: PacketQueueOptions
}

const worker = fileURLToPath(new URL('worker.js', import.meta.url))

/** The processors of the contender and of its helper: the first two that this process may use. */
export function processors(): [number, number] {
  const list = /^Cpus_allowed_list:\s*(.*)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? ''
  const all = list.split(',').flatMap((range) => {
    const [first, last = first] = range.split('-').map(Number)
    return Array.from({ length: last - first + 1 }, (_, i) => first + i)
  })
  if (all.length < 2) throw new Error('two processors are needed: one for each end of the wire')
  return [all[0], all[1]]
}

/** The interfaces of a process. */
interface Interfaces {
  in?: string
  out?: string
  to: string
}

/** A program that moves frames in a comparison. */
export type Contender = (
  parameters: FrameParameters,
  interfaces: Interfaces,
  processor: number,
) => Promise<LineChild>

async function started(child: LineChild, processor: number): Promise<LineChild> {
  try {
    await child.ready()
    // Pins the main thread only: Node's compiler and collector threads may run elsewhere, as they do for users.
    execFileSync('taskset', ['-cp', String(processor), String(child.pid)], { stdio: 'ignore' })
    return child
  } catch (error) {
    await child.close().catch(() => {}) // the error that matters is why it did not start
    throw error
  }
}

/** Ours: a Node process. */
export const ours: Contender = (parameters, interfaces, processor) => {
  const { backend, size, batch, queue } = parameters
  const options = JSON.stringify({ backend, size, batch, queue, ...interfaces })
  return started(new LineChild(process.execPath, [worker, options]), processor)
}

/** The C program with the same kind of socket. */
export function cPeer(session: Session): Contender {
  return ({ backend, size, batch, ring, duties }, interfaces, processor) => {
    const program = session.peer(peerOf[backend])
    const words = Object.entries({ ...interfaces, size, batch, ring: ring ?? 'none', duties })
    return started(
      new LineChild(
        program,
        words.filter(([, value]) => value !== undefined).map(([key, value]) => `${key}=${value}`),
      ),
      processor,
    )
  }
}

/** Closes all children, and then returns the wires. */
async function closeAll(children: readonly LineChild[], wires: readonly Wire[]): Promise<void> {
  const results = await Promise.allSettled(children.map((child) => child.close()))
  for (const wire of wires) giveWire(wire)
  for (const result of results) if (result.status === 'rejected') throw result.reason
}

/**
 * One direction: frames per second, or the service time of a batch.
 *
 * With `tx`, the far end has no reader, and the frames that arrive there are counted. With `rx`, `forward` and `service` a C
 * program on the other processor sends, the same for every contender; forwarded frames leave by a second wire, whose far end
 * has no reader. On a veth pair the kernel does the receiving end's share of its work on the sender's processor.
 *
 * @param rate incoming frames per second; 0: as many as possible
 */
export async function frameSide(
  session: Session,
  contender: Contender,
  parameters: FrameParameters,
  request: { operation: Operation; count: number; warmup: number; rate?: number },
): Promise<Side> {
  const { operation, count, warmup, rate = 0 } = request
  const [cpu, otherCpu] = processors()
  const incoming = takeWire()
  const outgoing = takeWire()
  const wires = [incoming, outgoing]
  const children: LineChild[] = []
  const line = `${operation} ${count} ${warmup}`
  try {
    const interfaces = {
      in: operation === 'tx' ? undefined : incoming.b,
      out: operation === 'rx' ? undefined : outgoing.a,
      to: outgoing.macB,
    }
    const child = await contender(parameters, interfaces, cpu)
    children.push(child)
    if (operation === 'tx') {
      return {
        async run() {
          const before = receivedBy(outgoing.b)
          const result = await child.request(line)
          const arrived = receivedBy(outgoing.b) - before
          if (arrived !== count + warmup) {
            throw new Error(`${arrived} of ${count + warmup} frames arrived`)
          }
          return result
        },
        close: () => closeAll(children, wires),
      }
    }
    const { size } = parameters
    // The fastest backend, which needs root.
    const backend = process.getuid!() === 0 ? 'af_xdp' : 'af_packet'
    const target = { out: incoming.a, to: incoming.macB }
    const sender = await cPeer(session)({ backend, size, batch: rate > 0 ? 1 : 64 }, target, otherCpu)
    children.push(sender)
    return {
      async run() {
        sender.send(`flood ${rate} 0`)
        const result = await child.request(line)
        await sender.request('stop')
        return result
      },
      close: () => closeAll(children, wires),
    }
  } catch (error) {
    await closeAll(children, wires).catch(() => {})
    throw error
  }
}

/** Polls of an interface to which nobody sends: [ns a poll]. */
export async function idleSide(
  contender: Contender,
  parameters: FrameParameters,
  count: number,
  warmup: number,
): Promise<Side> {
  const wire = takeWire()
  const children: LineChild[] = []
  try {
    children.push(await contender(parameters, { in: wire.b, to: wire.macA }, processors()[0]))
    return {
      run: () => children[0].request(`look ${count} ${warmup}`),
      close: () => closeAll(children, [wire]),
    }
  } catch (error) {
    await closeAll(children, [wire]).catch(() => {})
    throw error
  }
}

/** Round trip of a frame, each end busy-polling on its own processor: [p50, p99] in µs. */
export async function roundTripSide(
  contender: Contender,
  parameters: FrameParameters,
  count: number,
  warmup: number,
): Promise<Side> {
  const [cpu, otherCpu] = processors()
  const wire = takeWire()
  const children: LineChild[] = []
  try {
    const near = await contender(parameters, { in: wire.a, out: wire.a, to: wire.macB }, cpu)
    children.push(near)
    const far = await contender(parameters, { in: wire.b, out: wire.b, to: wire.macA }, otherCpu)
    children.push(far)
    return {
      async run() {
        const reflected = far.request(`reflect ${count} ${warmup}`)
        reflected.catch(() => {}) // awaited below, unless the near end fails first
        const result = await near.request(`round-trip ${count} ${warmup}`)
        await reflected
        return result
      },
      close: () => closeAll(children, [wire]),
    }
  } catch (error) {
    await closeAll(children, [wire]).catch(() => {})
    throw error
  }
}

/** The same with node:dgram, which sleeps in between: [p50, p99] in µs. */
export async function dgramSide(count: number, warmup: number): Promise<Side> {
  const [cpu, otherCpu] = processors()
  const script = fileURLToPath(new URL('dgram.js', import.meta.url))
  const children: LineChild[] = []
  try {
    for (const processor of [cpu, otherCpu]) {
      children.push(await started(new LineChild(process.execPath, [script]), processor))
    }
    const [near, far] = children
    const [port] = await far.request('port')
    return {
      async run() {
        const reflected = far.request(`reflect ${count} ${warmup}`)
        reflected.catch(() => {}) // awaited below, unless the near end fails first
        const result = await near.request(`round-trip ${count} ${warmup} ${port}`)
        await reflected
        return result
      },
      close: () => closeAll(children, []),
    }
  } catch (error) {
    await closeAll(children, []).catch(() => {})
    throw error
  }
}
