/** Converts a GID between text ('fe80::1') and the 32 hexadecimal digits of rdma-core's ping-pong programs. */
import * as ipv6 from '../../headers/ipv6.js'

/** On a fabric that routes by LID alone, there is no GID. */
export const noGid = '0'.repeat(32)

/**
 * @param gid an IPv6 address in any form, with an IPv4 tail too
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
 * In the form of RFC 5952; an IPv4-mapped GID has an IPv4 tail, as in the library.
 *
 * @param digits 32 hexadecimal digits
 */
export function gidFromWire(digits: string): string {
  return ipv6.format(Buffer.from(digits, 'hex'))
}
