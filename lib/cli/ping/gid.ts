/** A GID as text ('fe80::1') and as the 32 hexadecimal digits that rdma-core's ping-pong programs send. */
import { ipv6Text } from '../ipv6.js'

/** Where there is no GID: a fabric that routes by LID alone. */
export const noGid = '0'.repeat(32)

/**
 * @param gid an IPv6 address in any of its forms, the one with an IPv4 tail included
 * @throws SyntaxError for anything else
 */
export function gidToWire(gid: string): string {
  // An IPv4 tail stands for the last two groups (RFC 4291, 2.2).
  const text = gid.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, ...parts: string[]) => {
    const [a, b, c, d] = parts.map(Number)
    return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`
  })
  const halves = text.split('::')
  const groups = halves.map((half) => (half === '' ? [] : half.split(':')))
  const given = groups.flat()
  const missing = 8 - given.length
  const whole =
    halves.length === 2 ? [...groups[0], ...Array(Math.max(0, missing)).fill('0'), ...groups[1]] : given
  if (halves.length > 2 || whole.length !== 8 || !whole.every((group) => /^[\da-f]{1,4}$/i.test(group))) {
    throw new SyntaxError(`'${gid}' is not a GID`)
  }
  return whole.map((group) => group.padStart(4, '0').toLowerCase()).join('')
}

/**
 * In the form of RFC 5952; one that stands for an IPv4 address with an IPv4 tail, as the library writes it.
 *
 * @param digits 32 hexadecimal digits
 */
export function gidFromWire(digits: string): string {
  const groups = (digits.match(/.{4}/g) ?? []).map((group) => Number.parseInt(group, 16))
  if (/^0{20}ffff/i.test(digits)) {
    return `::ffff:${[groups[6] >> 8, groups[6] & 255, groups[7] >> 8, groups[7] & 255].join('.')}`
  }
  return ipv6Text(groups)
}
