/** FrameReadable: the frames of a queue as a stream, over each backend. */
import { createWriteStream, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { CaptureEncoder, FrameReadable, PacketQueue, PacketType, type ReceivedFrame } from 'ibverbs/ethernet'
import { describe, expect, test } from 'vitest'
import { vethPair } from '../beds/veth.js'
import { parse } from '../capture/tools.js'
import { backends, frame, on, transmit, type Wire } from './traffic.js'

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

async function take(stream: FrameReadable, count: number): Promise<ReceivedFrame[]> {
  const got: ReceivedFrame[] = []
  for await (const each of stream.iterator({ destroyOnReturn: false })) {
    got.push(each as ReceivedFrame)
    if (got.length === count) break
  }
  return got
}

function send(wire: Wire, from: number, to: number): void {
  for (let i = from; i < to; i++) transmit(wire.a, frame(wire.b, wire.a, 60 + (i % 1000), i))
}

describe.each(backends)('%s', (backend) => {
  const bed = on(backend)

  test('delivers copies of all frames in order, and slots are free again', async () => {
    using wire = bed.openWire()
    const stream = new FrameReadable(wire.b)
    const free = wire.b.frames.free
    const getting = take(stream, 200)
    send(wire, 0, 200)
    const got = await getting
    expect(got.map(({ data }) => hex(data))).toEqual(
      Array.from({ length: 200 }, (_, i) => hex(frame(wire.b, wire.a, 60 + (i % 1000), i))),
    )
    expect(got.every(({ data, originalLength }) => data.length === originalLength)).toBe(true)
    stream.destroy()
    await new Promise((resolve) => stream.once('close', resolve))
    expect(wire.b.closed).toBe(false)
    expect(wire.b.frames.free).toBeGreaterThanOrEqual(free - bed.filled(wire.b))
    // The queue belongs to the caller again.
    const waiting = wire.b.wait()
    send(wire, 0, 1)
    expect(await waiting).toBe(1)
  })

  test('copies no more than its reader takes, and loses nothing meanwhile', async () => {
    using wire = bed.openWire()
    const stream = new FrameReadable(wire.b, { highWaterMark: 10 })
    send(wire, 0, 300)
    await take(stream, 1)
    for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve))
    expect(stream.readableLength).toBeLessThanOrEqual(10)
    expect((await take(stream, 299)).map(({ data }) => hex(data))).toEqual(
      Array.from({ length: 299 }, (_, i) => hex(frame(wire.b, wire.a, 61 + (i % 1000), i + 1))),
    )
    expect(wire.b.statistics().dropped).toBe(0)
    stream.destroy()
  })

  test('a signal destroys it with AbortError', async () => {
    using wire = bed.openWire()
    const controller = new AbortController()
    const stream = new FrameReadable(wire.b, { signal: controller.signal, closeQueue: true })
    const getting = take(stream, 1)
    controller.abort()
    await expect(getting).rejects.toMatchObject({ name: 'AbortError' })
    expect(wire.b.closed).toBe(true)
  })

  test('stop() ends it after the received frames; closing the queue ends it too', async () => {
    using wire = bed.openWire()
    const stream = new FrameReadable(wire.b)
    send(wire, 0, 3)
    await wire.b.wait()
    stream.stop()
    expect(await stream.toArray()).toHaveLength(3)
    const other = new FrameReadable(wire.b)
    const rest = other.toArray()
    setImmediate(() => wire.b.close())
    expect(await rest).toEqual([])
  })

  test('fails when the interface disappears', async () => {
    using wire = bed.openWire()
    const rest = new FrameReadable(wire.b).toArray()
    setImmediate(() => wire.veth.remove())
    await expect(rest).rejects.toMatchObject({ code: expect.stringMatching(/^ENODEV|ENETDOWN$/) })
  })
})

test('into a capture: bytes, times, directions, VLAN tags and counters', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ibverbs-readable-'))
  using veth = vethPair()
  const a = PacketQueue.open(veth.a)
  const b = PacketQueue.open(veth.b, { timestamps: true, outgoing: true })
  try {
    const file = join(folder, 'a.pcapng')
    const stream = new FrameReadable(b)
    const encoder = new CaptureEncoder({ interfaces: [{ name: veth.b }], statistics: () => [b.statistics()] })
    const piping = pipeline(stream, encoder, createWriteStream(file))
    // The kernel strips the tag of a received frame.
    const tagged = Buffer.concat([
      frame(b, a, 12),
      Buffer.from('810060058100000a88b5', 'hex'),
      Buffer.alloc(50, 7),
    ])
    const sent = [frame(b, a, 60, 1), tagged, frame(new Uint8Array(6).fill(255), a, 64, 2)]
    transmit(a, ...sent)
    await new Promise((resolve) => encoder.once('data', resolve))
    while ((await parseFile(file)).length < 3) await new Promise((resolve) => setImmediate(resolve))
    stream.stop()
    await piping
    const found = parse(readFileSync(file))
    expect(found.map(({ bytes }) => bytes)).toEqual(sent.map(hex))
    expect(found.map(({ original }) => original)).toEqual(sent.map(({ length }) => length))
    expect(found.map(({ frame }) => frame.packetType)).toEqual([
      PacketType.host,
      PacketType.host,
      PacketType.broadcast,
    ])
    for (const { frame } of found) expect(Math.abs(frame.seconds - Date.now() / 1000)).toBeLessThan(60)
  } finally {
    a.close()
    b.close()
    rmSync(folder, { recursive: true })
  }
})

/** The complete blocks of a file that is still being written. */
async function parseFile(file: string): Promise<unknown[]> {
  try {
    return parse(readFileSync(file))
  } catch {
    return []
  }
}
