/** Captures by other programs: every format that tcpdump and Wireshark write, and every kind of broken one. */
import { readFileSync, writeFileSync } from 'node:fs'
import { CaptureParser, PcapEncoder, PcapngEncoder } from 'ibverbs/ethernet'
import { describe, expect, test } from 'vitest'
import { frames } from '../cli/frames.js'
import { folder, parse, plain, tool, tshark } from './tools.js'

const list = Object.values(frames)

/** Frames at odd times, in a pcap capture with nanoseconds, which other programs convert. */
function original(file: string): void {
  const encoder = new PcapEncoder({ nanoseconds: true })
  list.forEach((frame, i) => {
    encoder.add(1_600_000_000 + i, (i * 987_654_321) % 1e9, frame)
  })
  writeFileSync(file, Buffer.concat([encoder.header(), encoder.take()]))
}

describe('files of other programs, whole and in pieces', () => {
  test.each([
    ['editcap -F pcap', 'editcap', ['-F', 'pcap']],
    ['editcap -F nsecpcap', 'editcap', ['-F', 'nsecpcap']],
    ['editcap -F pcapng', 'editcap', ['-F', 'pcapng']],
    ['editcap -F pcapng, cut', 'editcap', ['-F', 'pcapng', '-s', '30']],
    ['tcpdump -w', 'tcpdump', []],
  ])('%s', (_, program, flags) => {
    using made = folder()
    const [from, to] = [made.path('from'), made.path('to')]
    original(from)
    tool(program, program === 'tcpdump' ? ['-r', from, '-w', to] : [...flags, from, to])
    const expected = tshark(to)
    expect(expected).toHaveLength(list.length)
    const bytes = readFileSync(to)
    for (const piece of [bytes.length, 1, 7, 1000]) expect(parse(bytes, piece).map(plain)).toEqual(expected)
  })
})

/** A capture in big-endian order. */
function bigEndian(magic: number): Buffer {
  const header = Buffer.alloc(24)
  header.writeUInt32BE(magic, 0)
  header.writeUInt16BE(2, 4)
  header.writeUInt16BE(4, 6)
  header.writeUInt32BE(65535, 16)
  header.writeUInt32BE(1, 20)
  const records = list.flatMap((frame, i) => {
    const record = Buffer.alloc(16)
    record.writeUInt32BE(1_600_000_000 + i, 0)
    record.writeUInt32BE(999_999 - i, 4)
    record.writeUInt32BE(frame.length, 8)
    record.writeUInt32BE(frame.length + 1, 12)
    return [record, frame]
  })
  return Buffer.concat([header, ...records])
}

/** A block of pcapng, in either byte order. */
function block(big: boolean, type: number, body: Buffer): Buffer {
  const padding = Buffer.alloc(-body.length & 3)
  const words = Buffer.alloc(8)
  const put = (value: number, at: number) =>
    big ? words.writeUInt32BE(value, at) : words.writeUInt32LE(value, at)
  const total = 12 + body.length + padding.length
  put(type, 0)
  put(total, 4)
  return Buffer.concat([words, body, padding, words.subarray(4)])
}

function words(big: boolean, ...values: [size: 1 | 2 | 4, value: number][]): Buffer {
  return Buffer.concat(
    values.map(([size, value]) => {
      const bytes = Buffer.alloc(size)
      if (big) bytes.writeUIntBE(value, 0, size)
      else bytes.writeUIntLE(value, 0, size)
      return bytes
    }),
  )
}

const section = (big: boolean, major = 1) =>
  block(big, 0x0a0d0d0a, words(big, [4, 0x1a2b3c4d], [2, major], [2, 0], [4, 0xffffffff], [4, 0xffffffff]))
const description = (big: boolean, options = Buffer.alloc(0), linkType = 1, snapLength = 0) =>
  block(big, 1, Buffer.concat([words(big, [2, linkType], [2, 0], [4, snapLength]), options]))
const resolution = (big: boolean, value: number) =>
  Buffer.concat([words(big, [2, 9], [2, 1], [1, value]), Buffer.alloc(3), words(big, [2, 0], [2, 0])])
const packet = (big: boolean, ticks: bigint, data: Buffer, id = 0) =>
  block(
    big,
    6,
    Buffer.concat([
      words(big, [4, id], [4, Number(ticks >> 32n)], [4, Number(ticks & 0xffffffffn)]),
      words(big, [4, data.length], [4, data.length]),
      data,
    ]),
  )

describe('both byte orders', () => {
  test.each([
    ['microseconds', 0xa1b2c3d4, 1000],
    ['nanoseconds', 0xa1b23c4d, 1],
  ])('pcap in %s, big-endian', (_, magic, unit) => {
    using made = folder()
    const bytes = bigEndian(magic)
    const file = made.path('big.pcap')
    writeFileSync(file, bytes)
    const found = parse(bytes, 11)
    expect(found.map(plain)).toEqual(tshark(file))
    expect(found.map(({ time }) => time)).toEqual(
      list.map((_, i) => `${1_600_000_000 + i}.${String((999_999 - i) * unit).padStart(9, '0')}`),
    )
  })

  test('pcapng: sections of both, one after the other, each with interfaces of its own', () => {
    using made = folder()
    const bytes = Buffer.concat(
      [true, false].flatMap((big) => [
        section(big),
        description(big),
        description(big, resolution(big, 9)),
        // An unknown block is skipped.
        block(big, 0x0bad_1dea, Buffer.from('whatever')),
        packet(big, 1_600_000_000_123_456n, list[0]),
        packet(big, 1_600_000_000_123_456_789n, list[1], 1),
      ]),
    )
    const file = made.path('both.pcapng')
    writeFileSync(file, bytes)
    const found = parse(bytes, 13)
    expect(found.map(({ time, bytes }) => [time, bytes])).toEqual(
      [true, false].flatMap(() => [
        ['1600000000.123456000', list[0].toString('hex')],
        ['1600000000.123456789', list[1].toString('hex')],
      ]),
    )
    expect(found.map(plain)).toEqual(tshark(file))
  })
})

describe('clocks of pcapng', () => {
  const ticksOf: [resolution: number, ticks: bigint, time: string][] = [
    [0, 1_600_000_000n, '1600000000.000000000'],
    [3, 1_600_000_000_123n, '1600000000.123000000'],
    [6, 2n ** 52n + 1n, '4503599627.370497000'],
    [9, 2n ** 64n - 1n, '18446744073.709551615'],
    [12, 1_600_000_000_123_456_789n, '1600000.000123456'],
    [0x80 | 10, 1_600_000_000n * 1024n + 512n, '1600000000.500000000'],
    [0x80 | 20, 1_600_000_000n * 2n ** 20n + 1n, '1600000000.000000953'],
    [0x80 | 32, 1_600_000_000n * 2n ** 32n + 2n ** 31n, '1600000000.500000000'],
    [0x80 | 33, 1_600_000_000n * 2n ** 33n + 2n ** 31n, '1600000000.250000000'],
  ]

  test.each(ticksOf)('if_tsresol %i: %i ticks are %s', (exponent, ticks, time) => {
    const bytes = Buffer.concat([
      section(false),
      description(false, resolution(false, exponent)),
      packet(false, ticks, list[0]),
    ])
    expect(parse(bytes)[0].time).toBe(time)
  })

  test('if_tsoffset is added', () => {
    const offset = Buffer.concat([words(false, [2, 14], [2, 8]), Buffer.alloc(8), words(false, [4, 0])])
    offset.writeBigInt64LE(1_600_000_000n, 4)
    const bytes = Buffer.concat([
      section(false),
      description(false, offset),
      packet(false, 1_500_000n, list[0]),
    ])
    expect(parse(bytes)[0].time).toBe('1600000001.500000000')
  })
})

describe('older blocks and check sequences', () => {
  test('a packet block and a simple packet block', () => {
    const old = Buffer.concat([
      words(false, [2, 0], [2, 9], [4, 0], [4, 5_000_001], [4, 60], [4, 60]),
      Buffer.alloc(60, 3),
    ])
    const simple = Buffer.concat([words(false, [4, 100]), Buffer.alloc(80, 4)])
    const bytes = Buffer.concat([
      section(false),
      description(false, Buffer.alloc(0), 1, 80),
      block(false, 2, old),
      block(false, 3, simple),
    ])
    expect(parse(bytes).map(plain)).toEqual([
      { time: '5.000001000', bytes: '03'.repeat(60), original: 60 },
      { time: '0.000000000', bytes: '04'.repeat(80), original: 100 },
    ])
  })

  test('the check sequence at the end of a frame is cut off', () => {
    const frame = Buffer.concat([Buffer.alloc(60, 1), Buffer.alloc(4, 0xee)])
    const encoder = new PcapEncoder()
    encoder.add(1, 0, frame)
    const header = Buffer.from(encoder.header())
    header.writeUInt32LE(0x24000001, 20) // two 16-bit words
    const pcap = Buffer.concat([header, encoder.take()])
    const option = Buffer.concat([
      words(false, [2, 13], [2, 1], [1, 4]),
      Buffer.alloc(3),
      words(false, [4, 0]),
    ])
    const pcapng = Buffer.concat([
      section(false),
      description(false, option),
      packet(false, 1_000_000n, frame),
    ])
    for (const bytes of [pcap, pcapng]) {
      expect(parse(bytes).map(plain)).toEqual([{ time: '1.000000000', bytes: '01'.repeat(60), original: 60 }])
    }
  })
})

describe('bytes that are no capture, or none of Ethernet', () => {
  const whole = (() => {
    const encoder = new PcapEncoder()
    for (const frame of list) encoder.add(1, 0, frame)
    return Buffer.concat([encoder.header(), encoder.take()])
  })()
  const wholeNg = (() => {
    const encoder = new PcapngEncoder()
    for (const frame of list) encoder.add(1, 0, frame)
    return Buffer.concat([encoder.header(), encoder.take()])
  })()
  const error = (bytes: Buffer) => {
    try {
      parse(bytes)
    } catch (thrown) {
      expect(thrown).toMatchObject({ code: 'ERR_IBVERBS_CAPTURE' })
      return (thrown as Error).message
    }
    return 'nothing was thrown'
  }

  test('the error names the fault and its byte', () => {
    expect(error(Buffer.alloc(0))).toBe('0 bytes are no capture in the format pcap or pcapng')
    expect(error(Buffer.from('hello'))).toBe('at byte 0: this begins neither a pcap nor a pcapng capture')
    expect(error(Buffer.from([0x1f, 0x8b, 8, 0]))).toBe('at byte 0: it is compressed: use gunzip first')
    expect(error(Buffer.concat([section(true, 2)]))).toBe(
      'at byte 0: version 2 of the pcapng format is not supported',
    )
    expect(error(Buffer.concat([section(true), packet(true, 0n, list[0])]))).toBe(
      'at byte 28: a frame of interface 0, which was not described',
    )
    expect(
      error(
        Buffer.concat([section(true), description(true, Buffer.alloc(0), 113), packet(true, 0n, list[0])]),
      ),
    ).toBe('frames of link type 113, not of Ethernet (1): see https://www.tcpdump.org/linktypes.html')
    const huge = Buffer.from(whole)
    huge.writeUInt32LE(0x7fffffff, 24 + 8)
    expect(error(huge)).toBe('at byte 24: a frame of 2147483647 bytes is implausible')
    const torn = Buffer.from(wholeNg)
    torn.writeUInt32LE(torn.readUInt32LE(4) + 4, 4)
    expect(error(torn)).toMatch(/^at byte 0: the block's length is \d+ before it and \d+ behind it$/)
    torn.writeUInt32LE(13, 4)
    expect(error(torn)).toBe('at byte 0: a block cannot have 13 bytes')
  })

  test.each([
    ['pcap', whole],
    ['pcapng', wholeNg],
  ])('a truncated %s capture gives its whole frames first, wherever it was cut', (_, bytes) => {
    const ends = new Set<number>()
    for (let length = 4; length < bytes.length; length++) {
      const parser = new CaptureParser()
      parser.push(bytes.subarray(0, length))
      let count = 0
      while (parser.next()) count++
      ends.add(count)
      let message = ''
      try {
        parser.end()
      } catch (thrown) {
        message = (thrown as Error).message
      }
      // A capture cut between two records looks complete.
      if (message !== '')
        expect(message).toMatch(/^the capture was cut: \d+ bytes of an unfinished record at byte \d+$/)
    }
    expect([...ends]).toEqual(Array.from({ length: list.length }, (_, i) => i))
  })

  test('random bytes give an error, or frames within the bytes', () => {
    let state = 12345
    const random = () => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0
      return state
    }
    for (let run = 0; run < 3000; run++) {
      const bytes = Buffer.from(run % 2 ? whole : wholeNg)
      for (let i = 0; i < 4; i++) bytes[random() % bytes.length] = random() >>> 16
      const parser = new CaptureParser()
      try {
        parser.push(bytes)
        while (parser.next()) {
          const { offset, length } = parser.frame
          expect(offset + length).toBeLessThanOrEqual(parser.bytes.length)
        }
        parser.end()
      } catch (thrown) {
        expect(thrown).toMatchObject({ code: 'ERR_IBVERBS_CAPTURE' })
      }
    }
  })
})
