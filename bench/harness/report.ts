import type { Row } from './compare.js'

/** One line of `--json`, with its keys in the usual order. */
export function jsonLine(row: Row): string {
  const { case: name, unit, ours, peer, theirs, ratio, low, high, noise, rounds } = row
  return JSON.stringify({
    case: name,
    unit,
    ours: digits(ours),
    peer,
    theirs: digits(theirs),
    ratio: digits(ratio),
    low: digits(low),
    high: digits(high),
    noise: digits(noise),
    rounds,
  })
}

/** Six significant digits: more than the precision of any of these measurements. */
function digits(value: number): number {
  return Number(value.toPrecision(6))
}

/** The rows as a table for a terminal, one string for each line. */
export function table(rows: readonly Row[]): string[] {
  const header = ['case', 'unit', 'ours', 'peer', 'theirs', 'ratio', '95 % interval', 'peer/peer', 'rounds']
  const cells = rows.map((row) => [
    row.case,
    row.unit,
    amount(row.ours),
    row.peer,
    amount(row.theirs),
    factor(row.ratio),
    `${factor(row.low)} – ${factor(row.high)}`,
    factor(row.noise),
    String(row.rounds),
  ])
  const widths = header.map((title, i) => Math.max(title.length, ...cells.map((line) => line[i].length)))
  const left = new Set([0, 1, 3])
  const format = (line: string[]) =>
    line
      .map((cell, i) => (left.has(i) ? cell.padEnd(widths[i]) : cell.padStart(widths[i])))
      .join('  ')
      .trimEnd()
  return [format(header), widths.map((width) => '─'.repeat(width)).join('──'), ...cells.map(format)]
}

function amount(value: number): string {
  if (value >= 1000) return Math.round(value).toLocaleString('en-US')
  return Number(value.toPrecision(4)).toString()
}

function factor(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(3)
}
