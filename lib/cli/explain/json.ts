/** What was decoded as JSON: bytes as hexadecimal digits, 64-bit values as 0x… strings. */
import { toHex } from '../hex.js'

export function toJson(decoded: object, indent?: number): string {
  const replace = (_: string, value: unknown): unknown => {
    if (value instanceof Uint8Array) return toHex(value)
    if (typeof value === 'bigint') return `0x${value.toString(16)}`
    return value
  }
  return JSON.stringify(decoded, replace, indent)
}
