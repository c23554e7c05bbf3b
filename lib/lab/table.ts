/** Text in columns. */
import { stripVTControlCharacters } from 'node:util'

export type Align = 'left' | 'right'

/** Columns that a string takes in a terminal; this program prints no wide characters. */
function width(text: string): number {
  return stripVTControlCharacters(text).length
}

function pad(text: string, columns: number, align: Align): string {
  const gap = ' '.repeat(Math.max(0, columns - width(text)))
  return align === 'right' ? gap + text : text + gap
}

/** Formats rows of cells: two spaces between columns, no spaces at the end of a line. */
export function table(rows: ReadonlyArray<readonly string[]>, align: readonly Align[] = []): string {
  const widths: number[] = []
  for (const row of rows) {
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, width(cell))
    })
  }
  return rows
    .map((row) =>
      row
        .map((cell, i) => pad(cell, widths[i], align[i] ?? 'left'))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
