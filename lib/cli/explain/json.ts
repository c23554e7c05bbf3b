/** A conversation as JSON: bytes as hexadecimal digits, 64-bit values as 0x… strings. */
import { toHex } from '../hex.js'
import type { Conversation } from './conversation.js'

export function conversationJson(conversation: Conversation): string {
  return JSON.stringify(conversation, (_, value: unknown) => {
    if (value instanceof Uint8Array) return toHex(value)
    if (typeof value === 'bigint') return `0x${value.toString(16)}`
    return value
  })
}
