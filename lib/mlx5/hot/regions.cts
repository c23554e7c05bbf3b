import type { RegionParts } from './parts.js' with { 'resolution-mode': 'import' }

/** Finds a memory region by its handle, one copy a queue pair (lib/hot/own-copy.ts): where the table has it, or −1. */
export = function regionFinder(parts: RegionParts): (id: number) => number {
  const { table, lines, closings, load } = parts
  const { id: idAt, words } = parts.RegionLine
  const lineMask = lines - 1
  let seen = closings[0]

  function reload(id: number, line: number): number {
    if (closings[0] !== seen) {
      // One of them may be closed, and whoever has its handle.
      for (let i = 0; i < lines; i = (i + 1) | 0) table[i * words + idAt] = 0
      seen = closings[0]
    }
    return load(id, line)
  }

  return function find(id: number): number {
    const line = (id & lineMask) * words
    return table[line + idAt] === id && closings[0] === seen ? line : reload(id, line)
  }
}
