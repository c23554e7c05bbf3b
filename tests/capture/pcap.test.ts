import { PcapEncoder } from 'ibverbs/ethernet'
import { describe, expect, test } from 'vitest'
import { execFileSync } from '../beds/child.js'
import { frames } from '../cli/frames.js'

function capture(options: { snapLength: number; nanoseconds?: boolean }, list: readonly Buffer[]): Buffer {
  const buffer = new PcapEncoder(options)
  list.forEach((frame, i) => {
    expect(buffer.add(1_700_000_000 + i, 123_456_789, frame)).toBe(true)
  })
  return Buffer.concat([buffer.header(), buffer.take()])
}

/** tcpdump's reading: for each frame its time, and its bytes from -xx. */
function tcpdump(input: Buffer): Array<{ time: string; bytes: Buffer; length: number }> {
  const output = execFileSync('tcpdump', ['-n', '-e', '-tt', '-xx', '-r', '-'], {
    input,
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  const read: Array<{ time: string; bytes: Buffer; length: number }> = []
  for (const line of output.toString().split('\n')) {
    const row = /^\t0x[\da-f]{4}: {2}([\da-f ]+)$/.exec(line)
    const last = read[read.length - 1]
    if (row) last.bytes = Buffer.concat([last.bytes, Buffer.from(row[1].replaceAll(' ', ''), 'hex')])
    else if (line !== '') {
      read.push({
        time: line.split(' ')[0],
        bytes: Buffer.alloc(0),
        length: Number(/, length (\d+)/.exec(line)?.[1]),
      })
    }
  }
  return read
}

const list = Object.values(frames)

describe('a capture, read back by tcpdump', () => {
  test('has every byte of every frame', () => {
    const read = tcpdump(capture({ snapLength: 65535 }, list))
    expect(read.map(({ bytes }) => bytes.toString('hex'))).toEqual(list.map((frame) => frame.toString('hex')))
  })

  test('has times in microseconds', () => {
    const read = tcpdump(capture({ snapLength: 65535 }, list.slice(0, 2)))
    expect(read.map(({ time }) => time)).toEqual(['1700000000.123456', '1700000001.123456'])
  })

  test('has times in nanoseconds on request', () => {
    const input = capture({ snapLength: 65535, nanoseconds: true }, list.slice(0, 1))
    const output = execFileSync('tcpdump', ['-n', '-tt', '--nano', '-r', '-'], {
      input,
      stdio: ['pipe', 'pipe', 'ignore'],
    })
    expect(output.toString().split(' ')[0]).toBe('1700000000.123456789')
  })

  test("keeps the snapshot length, and the frame's length on the wire", () => {
    const read = tcpdump(capture({ snapLength: 20 }, list))
    expect(read.map(({ bytes }) => bytes.toString('hex'))).toEqual(
      list.map((frame) => frame.toString('hex', 0, 20)),
    )
    expect(read.map(({ length }) => length)).toEqual(list.map((frame) => frame.length))
  })
})

describe('the header', () => {
  test('is that of pcap-savefile(5)', () => {
    const header = 'd4c3b2a1' + '0200' + '0400' + '00000000' + '00000000' + '00000400' + '01000000'
    expect(Buffer.from(new PcapEncoder().header()).toString('hex')).toBe(header)
  })
})

describe('a buffer that is full', () => {
  test('takes nothing of a frame that does not fit, and all of it after take()', () => {
    const buffer = new PcapEncoder({ snapLength: 100, capacity: 200 })
    const frame = Buffer.alloc(100, 7)
    expect(buffer.add(1, 0, frame)).toBe(true)
    expect(buffer.add(1, 0, frame)).toBe(false)
    expect(buffer.take()).toHaveLength(116)
    expect(buffer.take()).toHaveLength(0)
    expect(buffer.add(1, 0, frame)).toBe(true)
  })
})
