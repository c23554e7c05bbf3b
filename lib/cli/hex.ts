/** Bytes as hexadecimal text, and back. */

/**
 * Parses hexadecimal bytes. White space and the separators ':', '-' and '.' may stand between bytes, and '0x' before them.
 *
 * @throws SyntaxError naming the text that is not a hexadecimal byte
 */
export function parseHex(text: string): Uint8Array {
  const digits = text
    .trim()
    .replace(/^0x/i, '')
    .replace(/[\s:.-]+/g, '')
  const stranger = /[^\da-f]/i.exec(digits)
  if (stranger) throw new SyntaxError(`'${stranger[0]}' is not a hexadecimal digit`)
  if (digits.length % 2)
    throw new SyntaxError(`${digits.length} hexadecimal digits are not a whole number of bytes`)
  return Uint8Array.from({ length: digits.length / 2 }, (_, i) =>
    Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16),
  )
}

/** Bytes [start, end) as hexadecimal digits. */
export function toHex(bytes: Uint8Array, start = 0, end = bytes.length): string {
  let text = ''
  for (let i = start; i < end; i++) text += bytes[i].toString(16).padStart(2, '0')
  return text
}

/** Bytes as tcpdump's -x prints them, or its -X with `ascii`: sixteen to a line, in words of two. */
export function hexDump(bytes: Uint8Array, ascii: boolean): string {
  const lines: string[] = []
  for (let at = 0; at < bytes.length; at += 16) {
    const row = bytes.subarray(at, at + 16)
    const words: string[] = []
    for (let i = 0; i < row.length; i += 2) words.push(toHex(row, i, Math.min(i + 2, row.length)))
    const text = words.join(' ')
    lines.push(
      `\t0x${at.toString(16).padStart(4, '0')}:  ${ascii ? `${text.padEnd(39)}  ${printable(row)}` : text}`,
    )
  }
  return lines.join('\n')
}

function printable(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => (byte > 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.')).join('')
}
