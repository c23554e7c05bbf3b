import { instance, rangeError, string } from '../argument.js'

/** An Ethernet address: 'aa:bb:cc:dd:ee:ff' (or with hyphens), or its six bytes. */
export type MacAddress = string | Uint8Array

/**
 * The six bytes of an Ethernet address (IEEE 802, as ip(8) prints them).
 *
 * @throws TypeError ERR_INVALID_ARG_TYPE, RangeError ERR_OUT_OF_RANGE
 */
export function parseMac(mac: MacAddress): Uint8Array {
  return macArgument('mac', mac)
}

/**
 * Formats six bytes as 'aa:bb:cc:dd:ee:ff'.
 *
 * @param offset where in `bytes` the address begins, such as an offset in a frame
 * @throws TypeError ERR_INVALID_ARG_TYPE, RangeError ERR_OUT_OF_RANGE
 */
export function formatMac(bytes: Uint8Array, offset = 0): string {
  instance('bytes', bytes, Uint8Array)
  if (!Number.isInteger(offset) || offset < 0 || offset + 6 > bytes.length) {
    throw rangeError('offset', `an offset with six bytes behind it in ${bytes.length}`, offset)
  }
  let text = ''
  for (let i = 0; i < 6; i++) text += (i ? ':' : '') + bytes[offset + i].toString(16).padStart(2, '0')
  return text
}

/** Like {@link parseMac}, for the argument of this name. */
export function macArgument(name: string, mac: unknown): Uint8Array {
  if (mac instanceof Uint8Array) {
    if (mac.length !== 6) throw rangeError(name, 'six bytes', mac)
    return Uint8Array.from(mac)
  }
  const text = string(name, mac)
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$|^[0-9a-f]{2}(-[0-9a-f]{2}){5}$/i.test(text)) {
    throw rangeError(name, "an Ethernet address like '02:00:00:00:00:01'", mac)
  }
  return Uint8Array.from(text.split(/[:-]/), (part) => Number.parseInt(part, 16))
}

/** Like {@link macArgument}, for a group address: the lowest bit of its first byte is set (IEEE 802, clause 8.2). */
export function groupArgument(name: string, mac: unknown): Uint8Array {
  const bytes = macArgument(name, mac)
  if ((bytes[0] & 1) === 0) {
    throw rangeError(name, 'a multicast address (lowest bit of the first byte set)', formatMac(bytes))
  }
  return bytes
}
