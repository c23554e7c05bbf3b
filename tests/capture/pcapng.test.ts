/** Captures in the pcapng format, written by this library, read by Wireshark's programs and by tcpdump. */
import { writeFileSync } from 'node:fs'
import { PacketType, PcapngEncoder } from 'ibverbs/ethernet'
import { describe, expect, test } from 'vitest'
import { frames } from '../cli/frames.js'
import { folder, parse, plain, tool, tshark } from './tools.js'

const list = Object.values(frames)
/** Seconds whose nanoseconds use all bits of both halves. */
const seconds = 1_700_000_000
const time = (i: number) => `${seconds + i}.${String(123_456_789 + i).padStart(9, '0')}`

function capture(encoder: PcapngEncoder, more: Uint8Array[] = []): Buffer {
  list.forEach((frame, i) => {
    expect(encoder.add(seconds + i, 123_456_789 + i, frame, frame.length + i, i % 5, 0)).toBe(true)
  })
  return Buffer.concat([encoder.header(), encoder.take(), ...more])
}

describe('a capture', () => {
  test('is read by tshark: every byte, every nanosecond, every length', () => {
    using made = folder()
    const file = made.path('a.pcapng')
    const bytes = capture(new PcapngEncoder({ interfaces: [{ name: 'eth7', description: 'the seventh' }] }))
    writeFileSync(file, bytes)
    const expected = list.map((frame, i) => ({
      time: time(i),
      bytes: frame.toString('hex'),
      original: frame.length + i,
    }))
    expect(tshark(file)).toEqual(expected)
    expect(parse(bytes).map(plain)).toEqual(expected)
  })

  test('is read by tcpdump', () => {
    using made = folder()
    const file = made.path('a.pcapng')
    writeFileSync(file, capture(new PcapngEncoder()))
    const lines = tool('tcpdump', ['-n', '-tt', '--nano', '-r', file]).split('\n')
    const times = lines.filter((line) => /^\d/.test(line)).map((line) => line.split(' ')[0])
    expect(times).toEqual(list.map((_, i) => time(i)))
  })

  test('names its interfaces, link type, resolution and the program', () => {
    using made = folder()
    const file = made.path('a.pcapng')
    const interfaces = [{ name: 'eth7', description: 'udp port 53' }, { name: 'eth8' }]
    const encoder = new PcapngEncoder({ interfaces, snapLength: 4000 })
    encoder.add(seconds, 0, list[0], list[0].length, PacketType.host, 0)
    encoder.add(seconds, 0, list[1], list[1].length, PacketType.host, 1)
    writeFileSync(file, Buffer.concat([encoder.header(), encoder.take()]))
    const fields = ['frame.interface_name', 'frame.interface_id', 'frame.interface_description']
    const output = tool('tshark', ['-n', '-r', file, '-T', 'fields', ...fields.flatMap((f) => ['-e', f])])
    expect(output).toBe('eth7\t0\tudp port 53\neth8\t1\t\n')
    const about = tool('capinfos', ['-M', file])
    expect(about).toMatch(/File type: +(Wireshark\/\.\.\. - )?pcapng\n/)
    expect(about).toMatch(/Capture application: +ibverbs/)
    expect(about).toMatch(/Encapsulation = Ethernet \(1 - ether\)/)
    expect(about).toMatch(/Capture length = 4000/)
    expect(about).toMatch(/Time precision = nanoseconds \(9\)/)
    expect(about).toMatch(/Number of interfaces in file: +2/)
  })

  test("has each frame's direction and packet type", () => {
    using made = folder()
    const file = made.path('a.pcapng')
    const bytes = capture(new PcapngEncoder())
    writeFileSync(file, bytes)
    const fields = ['-e', 'frame.packet_flags_direction', '-e', 'frame.packet_flags_reception_type']
    const [inbound, outbound] = [1, 2]
    const [unspecified, unicast, multicast, broadcast, promiscuous] = [0, 1, 2, 3, 4]
    const flags: Record<number, string> = {
      [PacketType.host]: `${inbound}\t${unicast}`,
      [PacketType.broadcast]: `${inbound}\t${broadcast}`,
      [PacketType.multicast]: `${inbound}\t${multicast}`,
      [PacketType.otherHost]: `${inbound}\t${promiscuous}`,
      [PacketType.outgoing]: `${outbound}\t${unspecified}`,
    }
    const numbers = tool('tshark', ['-n', '-r', file, '-T', 'fields', ...fields])
      .replace(/0x0*(?=\d)/g, '')
      .split('\n')
      .slice(0, -1)
    expect(numbers).toEqual(list.map((_, i) => flags[i % 5]))
    expect(parse(bytes).map(({ frame }) => frame.packetType)).toEqual(list.map((_, i) => i % 5))
  })

  test('ends with the counters of each interface', () => {
    using made = folder()
    const file = made.path('a.pcapng')
    const encoder = new PcapngEncoder({ interfaces: [{ name: 'eth7' }, {}] })
    const received = 2 ** 33 + 5
    const trailer = encoder.trailer([{ received, dropped: 7 }, {}])
    writeFileSync(file, Buffer.concat([encoder.header(), trailer]))
    expect(tool('capinfos', ['-M', file]).match(/Number of stat entries = \d/g)).toEqual([
      'Number of stat entries = 1',
      'Number of stat entries = 1',
    ])
    const view = Buffer.from(trailer)
    // The block, its interface and time, then the options: start and end time, received, dropped.
    expect([view.readUInt32LE(0), view.readUInt32LE(8)]).toEqual([5, 0])
    const options = 20
    expect([0, 12, 24, 36].map((at) => view.readUInt32LE(options + at))).toEqual(
      [2, 3, 4, 5].map((code) => code | (8 << 16)),
    )
    expect(view.readBigUInt64LE(options + 28)).toBe(BigInt(received))
    expect(view.readBigUInt64LE(options + 40)).toBe(7n)
  })

  test('keeps the snapshot length', () => {
    const bytes = capture(new PcapngEncoder({ snapLength: 21 }))
    using made = folder()
    const file = made.path('a.pcapng')
    writeFileSync(file, bytes)
    const expected = list.map((frame, i) => ({
      time: time(i),
      bytes: frame.toString('hex', 0, 21),
      original: frame.length + i,
    }))
    expect(parse(bytes).map(plain)).toEqual(expected)
    expect(tshark(file)).toEqual(expected)
  })
})

test('refuses invalid options and frames', () => {
  expect(() => new PcapngEncoder({ interfaces: [] })).toThrow(
    '"options.interfaces" must be an array of at least one { name, description }, not []',
  )
  expect(() => new PcapngEncoder({ snapLength: 0 })).toThrow(/"options.snapLength" must be an integer from 1/)
  expect(() => new PcapngEncoder().add(0, 0, list[0], 60, -1, 1)).toThrow(
    '"interfaceId" must be an integer from 0 to 0, not 1',
  )
  expect(() => new PcapngEncoder().trailer([{}, {}])).toThrow(/"interface" must be an integer from 0 to 0/)
})
