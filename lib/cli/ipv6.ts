/** An IPv6 address as text. */

/**
 * In the form of RFC 5952: no leading zeros, the first of the longest runs of two or more zero groups as '::'.
 *
 * @param groups eight numbers of 16 bits
 */
export function ipv6Text(groups: readonly number[]): string {
  let start = 0
  let length = 0
  for (let i = 0; i < 8; i++) {
    let run = 0
    while (i + run < 8 && groups[i + run] === 0) run++
    if (run > length) [start, length] = [i, run]
  }
  const text = (part: readonly number[]) => part.map((group) => group.toString(16)).join(':')
  if (length < 2) return text(groups)
  return `${text(groups.slice(0, start))}::${text(groups.slice(start + length))}`
}
