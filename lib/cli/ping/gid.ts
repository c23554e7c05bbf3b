/** A GID as text ('fe80::1') and as the 32 hexadecimal digits that rdma-core's ping-pong programs send. */
import * as ipv6 from '../../headers/ipv6.js'

/** Where there is no GID: a fabric that routes by LID alone. */
export const noGid = '0'.repeat(32)

/**
 * @param gid an IPv6 address in any of its forms, the one with an IPv4 tail included
 * @throws SyntaxError for anything else
 */
export function gidToWire(gid: string): string {
  try {
    return Buffer.from(ipv6.parse(gid)).toString('hex')
  } catch {
    throw new SyntaxError(`'${gid}' is not a GID`)
  }
}

/**
 * In the form of RFC 5952; one that stands for an IPv4 address with an IPv4 tail, as the library writes it.
 *
 * @param digits 32 hexadecimal digits
 */
export function gidFromWire(digits: string): string {
  return ipv6.format(Buffer.from(digits, 'hex'))
}
