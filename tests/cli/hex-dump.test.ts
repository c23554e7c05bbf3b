/** Reads hex dumps of common tools back. */
import { writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { framesOfDump, isDump } from '../../dist/cli/send/hex-dump.js'
import { execFileSync } from '../beds/child.js'
import { capture, frames as kinds } from '../capture/filters.js'
import { folder } from '../capture/tools.js'

const header = Buffer.from('ffffffffffff02000000000188b5', 'hex')
/** Bytes whose characters look like bytes, like bars, like offsets and like nothing. */
const frames = [
  Buffer.concat([
    header,
    Buffer.from('hello 61 62 |x|  0010: ab cd '),
    Buffer.from([0, 1, 0x7f, 0x80, 0xff]),
  ]),
  Buffer.concat([header, Buffer.from('61 61616161  ')]),
  Buffer.concat([header, Buffer.from('    spaces before, and behind   ')]),
  Buffer.concat([header, Buffer.alloc(100)]),
  Buffer.concat([header, Buffer.alloc(2, 0x20), Buffer.alloc(16, 0x20), Buffer.from('|'.repeat(16))]),
  header,
]
const read = (text: string) => framesOfDump(text).map(({ frame }) => Buffer.from(frame).toString('hex'))
const hex = (list: readonly Buffer[]) => list.map((frame) => frame.toString('hex'))

describe('dumps that are read back', () => {
  test.each([
    ['hexdump -C, which leaves out rows that repeat', 'hexdump', ['-C']],
    ['xxd', 'xxd', []],
    ['xxd -c 8 -g 1', 'xxd', ['-c', '8', '-g', '1']],
    ['od -Ax -tx1', 'od', ['-Ax', '-tx1']],
    ['od -Ax -tx1 -v', 'od', ['-Ax', '-tx1', '-v']],
  ])('%s', (_, command, flags) => {
    using place = folder()
    const texts = frames.map((frame, i) => {
      writeFileSync(place.path(String(i)), frame)
      return execFileSync(command, [...flags, place.path(String(i))], { encoding: 'latin1' })
    })
    for (const [i, text] of texts.entries()) {
      expect(isDump(text)).toBe(true)
      expect([i, read(text)]).toEqual([i, hex([frames[i]])])
      // As an editor saves it.
      expect([i, read(text.replaceAll(/[ \t]+$/gm, '').replaceAll('\n', '\r\n'))]).toEqual([
        i,
        hex([frames[i]]),
      ])
    }
    expect(read(texts.join('\n'))).toEqual(hex(frames))
  })

  test.each([['-xx'], ['-XX']])('tcpdump %s, its own lines between the frames', (flag) => {
    const list = [...frames, ...kinds.map(({ bytes }) => bytes)]
    const input = capture(list.map((bytes) => ({ bytes, original: bytes.length })))
    const text = execFileSync('tcpdump', ['-n', '-r', '-', flag], {
      input,
      encoding: 'latin1',
      stdio: 'pipe',
    })
    expect(isDump(text)).toBe(true)
    // tcpdump prints bytes that it cannot decode twice, with -x or -X alone: leave these frames out.
    const decoded = list.filter((frame) => frame.readUInt16BE(12) !== 0x88b5)
    expect(read(text).filter((frame) => hex(decoded).includes(frame))).toEqual(hex(decoded))
  })

  test('tshark -x', () => {
    using place = folder()
    const list = kinds.map(({ bytes }) => bytes)
    writeFileSync(place.path('x.pcap'), capture(kinds))
    const text = execFileSync('tshark', ['-n', '-x', '-r', place.path('x.pcap')], {
      encoding: 'latin1',
      stdio: 'pipe',
    })
    expect(read(text)).toEqual(hex(list))
  })
})

describe('text that is no dump', () => {
  test.each([
    ['ffffffffffff 020000000001 88b5 68656c6c6f'],
    ['ff:ff:ff:ff:ff:ff 02:00:00:00:00:01 88b5'],
    ['0000 5e00 0101 0200 0000 0001 0800 4500'],
    ['ff ff ff ff ff ff 02 00 00 00 00 01 88 b5'],
    ['0xffffffffffff020000000001'],
  ])('%s is plain hex', (text) => expect(isDump(text)).toBe(false))

  test.each([
    ['0000: ffff\n0010: ffff', '2: offset 0x10 where 0x2 should be (offsets are hexadecimal: od -Ax)'],
    ['0010: ffff', '1: the dump begins at offset 0x10: where is 0?'],
    ['0000: ffff  xy', '1: behind the offset stand neither bytes alone nor bytes and their characters'],
    ['0000: fff', '1: behind the offset stand neither bytes alone nor bytes and their characters'],
    [
      '0000: ffff 0010: aaaa',
      '1: behind the offset stand neither bytes alone nor bytes and their characters',
    ],
    ['0000: ffff\nhello\n0002: ffff', '2: no line of a hex dump, amid a frame'],
    [
      '0000000 ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff\n0000020 ff',
      '2: offset 0x20 where 0x10 should be',
    ],
  ])('%j', (text, message) => expect(() => framesOfDump(text)).toThrow(message))
})
