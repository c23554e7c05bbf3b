/**
 * Parses frames from hex dumps: lines of an offset, bytes, and optionally their characters, as tcpdump -xx and -XX,
 * Wireshark, hexdump -C, xxd and od -Ax -tx1 print them. Offset 0 begins a frame.
 */

/** An offset with a colon; or without one, alone or before single bytes, which tells it from a line of plain digits. */
const offsetWithColon = /^\s*(?:0x)?([\da-f]{3,8}):(?=\s|$)/i
const offsetAlone = /^\s*(?:0x)?([\da-f]{4,8})(?=\s+[\da-f]{2}(?:\s|$)|\s*$)/i

/** Whether a text contains lines of a hex dump. */
export function isDump(text: string): boolean {
  return text.split('\n').some((line) => offsetOf(line) !== undefined && /[:\s]\s*[\da-f]{2}/i.test(line))
}

function offsetOf(line: string): { offset: number; rest: string } | undefined {
  const match = offsetWithColon.exec(line) ?? offsetAlone.exec(line)
  return match ? { offset: Number.parseInt(match[1], 16), rest: line.slice(match[0].length) } : undefined
}

/**
 * The frames of a dump, each with the number, from 1, of its first line. Text between two frames, such as tcpdump's own
 * lines, is skipped.
 *
 * @throws SyntaxError that begins with the number of the wrong line
 */
export function framesOfDump(text: string): { line: number; frame: Uint8Array }[] {
  const frames: { line: number; bytes: number[] }[] = []
  const lines = text.split('\n').map((line) => line.replace(/\r$/, ''))
  let repeats = false
  for (const [i, line] of lines.entries()) {
    const wrong = (what: string): SyntaxError => new SyntaxError(`${i + 1}: ${what}`)
    if (line.trim() === '' || line.trimStart().startsWith('#')) continue
    const current = frames.at(-1)
    if (line.trim() === '*' && current) {
      repeats = true
      continue
    }
    const found = offsetOf(line)
    if (!found) {
      const next = lines.slice(i + 1).find((each) => offsetOf(each) !== undefined)
      if (next === undefined || offsetOf(next)?.offset === 0) continue
      throw wrong('no line of a hex dump, amid a frame')
    }
    const { offset, rest } = found
    const counts = possibleCounts(rest)
    if (offset === 0 && rest.trim() !== '') {
      frames.push({ line: i + 1, bytes: [] })
    } else if (!current) {
      throw wrong(`the dump begins at offset 0x${offset.toString(16)}: where is 0?`)
    }
    const { bytes } = frames[frames.length - 1]
    if (repeats) {
      const row = bytes.slice(-16)
      while (bytes.length < offset && row.length === 16) bytes.push(...row)
      repeats = false
    }
    if (bytes.length !== offset) {
      const there = `offset 0x${offset.toString(16)} where 0x${bytes.length.toString(16)} should be`
      throw wrong(`${there} (offsets are hexadecimal: od -Ax)`)
    }
    if (rest.trim() === '') continue
    if (counts.length === 0)
      throw wrong('behind the offset stand neither bytes alone nor bytes and their characters')
    // Characters may look like bytes: then the next offset says how many bytes there are.
    const next = lines.slice(i + 1).find((each) => each.trim() !== '' && each.trim() !== '*')
    const end = next === undefined ? undefined : offsetOf(next)?.offset
    const count = counts.find((each) => offset + each === end) ?? counts[0]
    bytes.push(...bytesOf(rest, count))
  }
  return frames.map(({ line, bytes }) => ({ line, frame: Uint8Array.from(bytes) }))
}

/** How many bytes the line may hold: first with characters behind them, then without. */
function possibleCounts(rest: string): number[] {
  const ends: number[] = []
  const byte = /\s*([\da-f]{2})/iy
  while (byte.test(rest)) ends.push(byte.lastIndex)
  const counts: number[] = []
  for (let count = ends.length; count > 0; count--) {
    const behind = rest.slice(ends[count - 1])
    const text = behind.trim()
    if (text === '' || !/^\s/.test(behind)) continue
    const bytes = bytesOf(rest, count)
    // hexdump -C encloses them in bars.
    const barred = /^\|.*\|$/.test(text) && standFor(text.slice(1, -1), bytes)
    if (barred || standFor(text, bytes)) counts.push(count)
  }
  if (ends.length > 0 && rest.slice(ends[ends.length - 1]).trim() === '') counts.push(ends.length)
  return counts
}

/** Whether the characters represent the bytes; spaces at either end may be missing. */
function standFor(text: string, bytes: readonly number[]): boolean {
  const shown = bytes.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.'))
  const same = (characters: string, from: number): boolean =>
    [...characters].every(
      (character, i) => character === shown[from + i] || (character === '.' && shown[from + i] === ' '),
    )
  const blank = (from: number, to: number): boolean => shown.slice(from, to).every((each) => each === ' ')
  const lost = shown.length - text.length
  if (lost < 0) return false
  for (let before = 0; before <= lost; before++) {
    if (blank(0, before) && same(text, before) && blank(before + text.length, shown.length)) return true
  }
  return false
}

function bytesOf(rest: string, count: number): number[] {
  return (rest.match(/[\da-f]{2}/gi) ?? []).slice(0, count).map((digits) => Number.parseInt(digits, 16))
}
