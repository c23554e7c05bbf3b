/** ibverbs send -r of faulty captures: it sends the good frames and names the rest. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FrameReadable, PacketQueue, PcapEncoder } from 'ibverbs/ethernet'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ip, type VethPair, vethPair } from '../beds/veth.js'
import { ibverbs } from '../cli/run.js'
import { backends, collect, transmit } from './traffic.js'

const length = 60

/** Frames that differ in their last byte: the first is 0. */
const frame = (number: number, size = length, etherType = 0x88b5) => {
  const made = Buffer.alloc(size)
  made.fill(0xff, 0, 6)
  made[6] = 2
  if (size >= 14) made.writeUInt16BE(etherType, 12)
  made[size - 1] = number
  return made
}

let veth: VethPair
let folder: string
let file: string

beforeEach(() => {
  veth = vethPair()
  folder = mkdtempSync(join(tmpdir(), 'ibverbs-replay-'))
  file = join(folder, 'capture.pcap')
})

afterEach(() => {
  veth.remove()
  rmSync(folder, { recursive: true })
})

/** A capture of these frames, a millisecond apart, followed by these bytes. */
function write(frames: readonly Uint8Array[], behind = Buffer.alloc(0)): Buffer {
  const encoder = new PcapEncoder({ nanoseconds: true })
  frames.forEach((each, i) => {
    encoder.add(1, i * 1e6, each)
  })
  const bytes = Buffer.concat([encoder.header(), encoder.take(), behind])
  writeFileSync(file, bytes)
  return bytes
}

const three = [0, 1, 2].map((number) => frame(number))
const ten = (sixth: Buffer) => Array.from({ length: 10 }, (_, i) => (i === 5 ? sixth : frame(i)))

describe.each(backends)('%s', (backend) => {
  const send = (...flags: string[]) => ibverbs(['send', veth.a, '-r', file, '--backend', backend, ...flags])
  const received = async (queue: PacketQueue, count: number) =>
    (await collect(queue, count)).map((each) => Buffer.from(each).toString('hex'))
  const hex = (frames: readonly Buffer[]) => frames.map((each) => each.toString('hex'))

  test.each([
    [
      'that was cut',
      (bytes: Buffer) => bytes.subarray(0, bytes.length - 4),
      /: the capture was cut: 72 bytes of an unfinished record at byte 252$/,
    ],
    [
      'with garbage in it',
      (bytes: Buffer) => Buffer.concat([bytes.subarray(0, bytes.length - 76), Buffer.alloc(76, 0xff)]),
      /: at byte 252: a frame of 4294967295 bytes is implausible$/,
    ],
  ])('a capture %s: the whole frames are sent, then the error', async (_, broken, message) => {
    using queue = PacketQueue.open(veth.b)
    writeFileSync(file, broken(write([...three, frame(9)])))
    const { code, stdout, stderr } = await send('--rate', 'max')
    expect(code).toBe(1)
    expect(stdout).toMatch(`3 frames accepted by ${veth.a}, 180 bytes in `)
    expect(stderr.trimEnd()).toMatch(message)
    expect(await received(queue, 3)).toEqual(hex(three))
  })

  test.each([
    [2962, 'has 2962 bytes, too long for'],
    [1515, 'has 1515 bytes, too long for'],
    [6, 'has 6 bytes, too short for Ethernet'],
  ])('a frame of %i bytes: those before it are sent, then the error', async (size, message) => {
    using queue = PacketQueue.open(veth.b)
    write(ten(frame(5, size)))
    const { code, stdout, stderr } = await send()
    expect(code).toBe(1)
    expect(stdout).toMatch(`5 frames accepted by ${veth.a}, 300 bytes in `)
    expect(stderr).toMatch(`ibverbs send: ${file}: frame 6 ${message}`)
    expect(await received(queue, 5)).toEqual(hex(ten(frame(5)).slice(0, 5)))
  })

  test.each([
    ['skip', frame(5, 2962), { sent: 9, skipped: 1, shortened: 0 }, []],
    ['skip', frame(5, 6), { sent: 9, skipped: 1, shortened: 0 }, []],
    ['cut', frame(5, 6), { sent: 9, skipped: 1, shortened: 0 }, []],
    ['cut', frame(5, 2962), { sent: 10, skipped: 0, shortened: 1 }, [frame(5, 2962).subarray(0, 1514)]],
    [
      'cut',
      frame(5, 2962, 0x8100),
      { sent: 10, skipped: 0, shortened: 1 },
      [frame(5, 2962, 0x8100).subarray(0, 1518)],
    ],
  ])('--unfit %s goes on (%#)', async (unfit, sixth, counts, sent) => {
    using queue = PacketQueue.open(veth.b)
    write(ten(sixth))
    const { code, stdout, stderr } = await send('--unfit', unfit, '--json')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const { sent: wanted, ...rest } = counts
    expect(JSON.parse(stdout)).toMatchObject({ ...rest, sent: wanted, wanted })
    const expected = ten(sixth).toSpliced(5, 1, ...sent)
    const got = await collect(queue, wanted)
    // The kernel stripped the tag of the tagged frame (collect returns the frame as it lies in memory).
    expect(got.map((each) => each[each.length - 1])).toEqual(expected.map((each) => each[each.length - 1]))
  })

  test('ends at once for a capture without a frame that can be sent, whatever the count', async () => {
    write([frame(0, 6), frame(0, 3000)])
    const { code, stdout, stderr } = await send('--unfit', 'skip', '-c', '1000000', '--json')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(JSON.parse(stdout)).toMatchObject({ sent: 0, wanted: 0, skipped: 2 })
  })
})

test('--max-sleep shortens a gap, and the frames after it keep their distances', async () => {
  const encoder = new PcapEncoder()
  for (const [i, seconds] of [0, 1_000_000, 1_000_000, 2_000_000].entries()) {
    encoder.add(seconds, i === 2 ? 50e6 : 0, frame(i))
  }
  writeFileSync(file, Buffer.concat([encoder.header(), encoder.take()]))
  const { code, stdout, stderr } = await ibverbs(['send', veth.a, '-r', file, '--max-sleep', '20', '--json'])
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  const { sent, seconds } = JSON.parse(stdout)
  expect(sent).toBe(4)
  // Three gaps of 20 ms each: from eleven days, 50 ms, and eleven days.
  expect(seconds).toBeGreaterThanOrEqual(0.06)
})

test.each([
  [['--unfit', 'drop'], "--unfit must be refuse or skip or cut, not 'drop'"],
  [['--max-sleep', 'long'], "--max-sleep must be a number from 0 to 1000000000000, not 'long'"],
  [['--rate', '1k', '--max-sleep', '1'], '--rate and --max-sleep exclude each other'],
])('%j is refused', async (flags, message) => {
  write(three)
  const { code, stderr } = await ibverbs(['send', veth.a, '-r', file, ...flags])
  expect(code).toBe(2)
  expect(stderr).toMatch(`ibverbs send: ${message}\n`)
})

test('FrameReadable delivers the frames received before the interface disappeared, then the error', async () => {
  using queue = PacketQueue.open(veth.b)
  using out = PacketQueue.open(veth.a, { transmitOnly: true })
  const frames = new FrameReadable(queue)
  const reader = frames[Symbol.asyncIterator]()
  await transmit(out, ...Array.from({ length: 20 }, (_, i) => frame(i)))
  const got = [(await reader.next()).value.data.at(-1)]
  // All twenty frames are in the stream or in the queue when the interface disappears.
  while (frames.readableLength < 19) await new Promise((resolve) => setImmediate(resolve))
  ip('link', 'del', veth.a)
  let failure: unknown
  try {
    for (let next = await reader.next(); !next.done; next = await reader.next()) {
      got.push(next.value.data.at(-1))
      await new Promise((resolve) => setImmediate(resolve))
    }
  } catch (error) {
    failure = error
  }
  expect(got).toEqual(Array.from({ length: 20 }, (_, i) => i))
  expect((failure as { code: string }).code).toMatch(/^(ENODEV|ENETDOWN|ENXIO)$/)
})
