import { describe, expect, test } from 'vitest'
import { hexDump, parseHex, toHex } from '../../dist/cli/hex.js'

describe('parseHex', () => {
  test.each([
    ['00ff10', [0, 255, 16]],
    ['00:ff:10', [0, 255, 16]],
    ['00-FF-10', [0, 255, 16]],
    ['00ff.10', [0, 255, 16]],
    [' 00 ff\t10\r', [0, 255, 16]],
    ['0x00ff10', [0, 255, 16]],
    ['', []],
  ])('%j', (text, expected) => {
    expect([...parseHex(text)]).toEqual(expected)
  })

  test.each([
    ['0g', "'g' is not a hexadecimal digit"],
    ['0', '1 hexadecimal digits are not a whole number of bytes'],
    ['00 1', '3 hexadecimal digits are not a whole number of bytes'],
  ])('%j is refused: %s', (text, message) => {
    expect(() => parseHex(text)).toThrow(new SyntaxError(message))
  })

  test('is the inverse of toHex for every byte', () => {
    const all = Uint8Array.from({ length: 256 }, (_, i) => i)
    expect(parseHex(toHex(all))).toEqual(all)
  })
})

test("hexDump is tcpdump's", () => {
  const bytes = Uint8Array.from({ length: 19 }, (_, i) => 0x3c + i)
  expect(hexDump(bytes, false)).toBe('\t0x0000:  3c3d 3e3f 4041 4243 4445 4647 4849 4a4b\n\t0x0010:  4c4d 4e')
  expect(hexDump(bytes, true)).toBe(
    '\t0x0000:  3c3d 3e3f 4041 4243 4445 4647 4849 4a4b  <=>?@ABCDEFGHIJK\n' +
      '\t0x0010:  4c4d 4e                                  LMN',
  )
})
