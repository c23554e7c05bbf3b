/** Captures by old, foreign and careless programs: read as libpcap and Wireshark read them. */
import { writeFileSync } from 'node:fs'
import { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type CapturedFrame, CaptureEncoder, PcapEncoder, PcapngEncoder } from 'ibverbs/ethernet'
import { describe, expect, test } from 'vitest'
import { folder, parse, tool, tshark } from './tools.js'

const frame = Buffer.from(`ffffffffffff02000000000188b5${'5a'.repeat(46)}`, 'hex')
const checkSequence = Buffer.from('deadbeef', 'hex')

interface Header {
  magic?: number
  minor?: number
}

function pcap({ magic = 0xa1b2c3d4, minor = 4 }: Header, ...records: Buffer[]): Buffer {
  const header = Buffer.alloc(24)
  header.writeUInt32LE(magic, 0)
  header.writeUInt16LE(2, 4)
  header.writeUInt16LE(minor, 6)
  header.writeUInt32LE(65535, 16)
  header.writeUInt32LE(1, 20)
  return Buffer.concat([header, ...records])
}

function record(words: readonly number[], ...more: Buffer[]): Buffer {
  const head = Buffer.alloc(4 * words.length)
  for (const [i, word] of words.entries()) head.writeUInt32LE(word, 4 * i)
  return Buffer.concat([head, ...more])
}

/** The bytes of each frame that tcpdump reads. */
function tcpdump(bytes: Buffer): string[] {
  using made = folder()
  const file = made.path('capture')
  writeFileSync(file, bytes)
  const frames: string[] = []
  for (const line of tool('tcpdump', ['-r', file, '-n', '-xx']).split('\n')) {
    const hex = /^\t0x\w+: (.*)$/.exec(line)?.[1].replaceAll(' ', '')
    if (hex === undefined) frames.push('')
    else frames[frames.length - 1] += hex
  }
  return frames.filter((hex) => hex !== '')
}

describe('pcap', () => {
  test.each([
    [2, 1000, 60, 60, 1000],
    [3, 1000, 60, 60, 1000],
    [3, 60, 1000, 60, 1000],
    [4, 60, 1000, 60, 1000],
  ])('version 2.%i with lengths %i, %i: %i of %i bytes', (minor, first, second, captured, original) => {
    const bytes = pcap({ minor }, record([1, 2, first, second], frame), record([3, 4, 60, 60], frame))
    const found = parse(bytes, 7)
    expect(found.map(({ frame: { data, originalLength } }) => [data.length, originalLength])).toEqual([
      [captured, original],
      [60, 60],
    ])
    expect(found.map(({ bytes }) => bytes)).toEqual(tcpdump(bytes))
  })

  test("the modified format has each frame's packet type", () => {
    const type = (value: number) => record([7, 0x0800 | (value << 16)])
    const bytes = pcap(
      { magic: 0xa1b2cd34 },
      ...[0, 1, 2, 3, 4, 5].map((value) => record([1, value, 60, 60], type(value), frame)),
    )
    const found = parse(bytes, 5)
    expect(found.map(({ frame: { packetType, nanoseconds } }) => [packetType, nanoseconds])).toEqual([
      [0, 0],
      [1, 1000],
      [2, 2000],
      [3, 3000],
      [4, 4000],
      [-1, 5000],
    ])
    expect(found.map(({ bytes }) => bytes)).toEqual(tcpdump(bytes))
  })

  test.each([
    [0xa1b2c3d4, 1_000_000, '8.000000000'],
    [0xa1b2c3d4, 2_500_001, '9.500001000'],
    [0xa1b23c4d, 1_000_000_001, '8.000000001'],
    [0xa1b2c3d4, 999_999, '7.999999000'],
  ])('a fraction of a second or more carries into the seconds: magic %i, %i', (magic, rest, time) => {
    expect(parse(pcap({ magic }, record([7, rest, 60, 60], frame)))[0].time).toBe(time)
  })
})

function block(type: number, body: Buffer): Buffer {
  const padding = Buffer.alloc(-body.length & 3)
  const total = 12 + body.length + padding.length
  return Buffer.concat([record([type, total]), body, padding, record([total])])
}

function option(code: number, value: Buffer): Buffer {
  return Buffer.concat([record([code | (value.length << 16)]), value, Buffer.alloc(-value.length & 3)])
}

const endOfOptions = record([0])
const section = block(0x0a0d0d0a, record([0x1a2b3c4d, 1, 0xffffffff, 0xffffffff]))
const description = (...options: Buffer[]) => block(1, Buffer.concat([record([1, 0]), ...options]))
const packet = (data: Buffer, original: number, options: Buffer[] = [], id = 0) => {
  const padding = Buffer.alloc(-data.length & 3)
  const all = options.length > 0 ? [...options, endOfOptions] : []
  return block(6, Buffer.concat([record([id, 0, 1000, data.length, original]), data, padding, ...all]))
}
const flags = (value: number) => option(2, record([value]))

describe('pcapng', () => {
  test('the flags of a packet are found anywhere among its options', () => {
    const comment = option(1, Buffer.from('seen by nobody'))
    const drops = option(4, Buffer.alloc(8))
    const hash = option(3, Buffer.alloc(5))
    const bytes = Buffer.concat([
      section,
      description(),
      packet(frame, 60),
      packet(frame, 60, [flags(2)]),
      packet(frame, 60, [comment, flags(2)]),
      packet(frame, 60, [drops, flags(1 | (3 << 2))]),
      packet(frame, 60, [hash, flags(2), comment]),
      packet(frame, 60, [comment]),
    ])
    expect(parse(bytes, 9).map(({ frame }) => frame.packetType)).toEqual([-1, 4, 4, 1, 4, -1])
  })

  test.each([
    ['inbound, to nobody in particular', 1, -1],
    ['inbound unicast', 1 | (1 << 2), 0],
    ['inbound multicast', 1 | (2 << 2), 2],
    ['inbound broadcast', 1 | (3 << 2), 1],
    ['inbound promiscuous', 1 | (4 << 2), 3],
    ['outbound', 2, 4],
    ['outbound broadcast', 2 | (3 << 2), 4],
    ['broadcast, of no known direction', 3 << 2, 1],
    ['a kind that is not defined', 1 | (7 << 2), -1],
    ['with errors of the link layer', 2 | (1 << 24), 4],
  ])('flags: %s', (_, value, packetType) => {
    const bytes = Buffer.concat([section, description(), packet(frame, 60, [flags(value)])])
    expect(parse(bytes)[0].frame.packetType).toBe(packetType)
  })

  test('the check sequence is cut off, whether if_fcslen or epb_flags announces it', () => {
    const whole = Buffer.concat([frame, checkSequence])
    const bytes = Buffer.concat([
      section,
      description(),
      description(option(13, Buffer.of(4)), endOfOptions),
      packet(whole, 64, [flags(1 | (4 << 5))]),
      packet(whole, 64, [], 1),
      packet(whole, 64, [flags(4 << 5)], 1),
      // Counted in 16-bit words, as in pcap's header.
      packet(whole, 64, [flags(2 << 5)]),
      packet(whole, 64),
    ])
    expect(parse(bytes).map(({ bytes, original }) => [bytes, original])).toEqual([
      ...Array(4).fill([frame.toString('hex'), 60]),
      [whole.toString('hex'), 64],
    ])
  })

  test('an option that is longer than its block is an error', () => {
    const broken = record([2 | (400 << 16), 0])
    const bytes = Buffer.concat([section, description(), packet(frame, 60, [broken])])
    expect(() => parse(bytes)).toThrow(/at byte \d+: an option does not fit into its block/)
  })
})

test.each([20, 0, 59])(
  'an original length of %i below the 60 bytes captured is raised to them',
  (original) => {
    const ng = Buffer.concat([section, description(), packet(frame, original)])
    for (const bytes of [pcap({}, record([1, 2, 60, original], frame)), ng]) {
      expect(parse(bytes).map(({ bytes, original }) => [bytes, original])).toEqual([
        [frame.toString('hex'), 60],
      ])
      using made = folder()
      const file = made.path('capture')
      writeFileSync(file, bytes)
      expect(tshark(file).map(({ bytes }) => bytes)).toEqual([frame.toString('hex')])
    }
  },
)

describe('values that a format cannot hold are refused', () => {
  const [pcapLast, pcapngLast] = [2 ** 32 - 1, 18_446_744_072]

  test.each([
    ['pcap', () => new PcapEncoder({ nanoseconds: true }), pcapLast],
    ['pcapng', () => new PcapngEncoder(), pcapngLast],
  ])('%s', (_, encoder, last) => {
    const add = (seconds: number, nanoseconds: number, length?: number) =>
      encoder().add(seconds, nanoseconds, frame, length)
    expect(add(last, 999_999_999)).toBe(true)
    expect(() => add(last + 1, 0)).toThrow(`"seconds" must be an integer from 0 to ${last}, not ${last + 1}`)
    expect(() => add(-1, 0)).toThrow(/"seconds" must be an integer from 0/)
    expect(() => add(Number.NaN, 0)).toThrow(/"seconds" must be an integer from 0/)
    expect(() => add(1, 1e9)).toThrow('"nanoseconds" must be an integer from 0 to 999999999, not 1000000000')
    expect(() => add(1, 0, 59)).toThrow(
      '"length" must be at least the 60 bytes that were captured, and below 2^32, not 59',
    )
    expect(() => add(1, 0, 2 ** 32)).toThrow(/"length" must be at least the 60 bytes/)
    const made = encoder()
    made.add(last, 999_999_999, frame, 0xffffffff)
    expect(parse(Buffer.concat([made.header(), made.take()]))).toMatchObject([
      { time: `${last}.999999999`, original: 0xffffffff },
    ])
  })

  test('by the stream as well, after the frames before', async () => {
    const good: CapturedFrame = { data: frame, originalLength: 60, seconds: 1, nanoseconds: 0 }
    const written: Buffer[] = []
    const slow = new Writable({
      highWaterMark: 1,
      write: (chunk, _encoding, done) => {
        written.push(chunk)
        setImmediate(done)
      },
    })
    await expect(
      pipeline([good, good, { ...good, originalLength: 59 }, good], new CaptureEncoder(), slow),
    ).rejects.toThrow(/"length" must be at least the 60 bytes/)
    expect(parse(Buffer.concat(written))).toHaveLength(2)
  })
})
