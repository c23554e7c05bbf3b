/** Two flow rules that are both to hold, as one. */
import { isIPv4 } from 'node:net'
import * as ipv4 from '../../ethernet/headers/ipv4.js'
import * as ipv6 from '../../ethernet/headers/ipv6.js'
import type { FlowBytes, FlowRule, PortRange } from '../../ethernet/index.js'

/** No rule: nothing matches. */
export const none: FlowRule[] = []
const ipTypes: readonly number[] = [0x0800, 0x86dd]

/** The rule that matches what both match; undefined when there is no such frame. */
export function both(a: FlowRule, b: FlowRule): FlowRule | undefined {
  const rule: FlowRule = { ...a, ...b }
  for (const field of ['sourceMac', 'destinationMac', 'etherType', 'vlan', 'protocol'] as const) {
    if (a[field] !== undefined && b[field] !== undefined && a[field] !== b[field]) return undefined
  }
  for (const field of ['source', 'destination'] as const) {
    const [one, other] = [a[field], b[field]]
    if (one === undefined || other === undefined) continue
    const narrower = within(one, other) ? one : within(other, one) ? other : undefined
    if (narrower === undefined) return undefined
    rule[field] = narrower
  }
  for (const field of ['sourcePort', 'destinationPort'] as const) {
    const [one, other] = [a[field], b[field]]
    if (one === undefined || other === undefined) continue
    const common = overlap(one, other)
    if (common === undefined) return undefined
    rule[field] = common
  }
  if (a.bytes && b.bytes) {
    if (a.bytes.some((one) => b.bytes?.some((other) => contradict(one, other)))) return undefined
    rule.bytes = [...a.bytes, ...b.bytes]
  }
  const needsIp = rule.protocol !== undefined || rule.source !== undefined || rule.destination !== undefined
  if (needsIp && rule.etherType !== undefined && !ipTypes.includes(rule.etherType)) return undefined
  const versions = [rule.source, rule.destination].flatMap((prefix) =>
    prefix === undefined ? [] : [isIPv4(prefix.split('/')[0]) ? 0x0800 : 0x86dd],
  )
  if (versions.some((type) => type !== (rule.etherType ?? versions[0]))) return undefined
  return rule
}

/** Whether two demands on the same bytes cannot both be met. */
function contradict(a: FlowBytes, b: FlowBytes): boolean {
  if (a.from !== b.from || a.offset !== b.offset) return false
  const bits = (bytes: FlowBytes, i: number) => bytes.mask?.[i] ?? 255
  return a.value.some((byte, i) => ((byte ^ (b.value[i] ?? byte)) & bits(a, i) & bits(b, i)) !== 0)
}

/** Whether every address of prefix `inner` is one of `outer`. */
function within(inner: string, outer: string): boolean {
  const [a, b] = [prefixOf(inner), prefixOf(outer)]
  if (a.width !== b.width || a.length < b.length) return false
  const shift = BigInt(b.width - b.length)
  return a.address >> shift === b.address >> shift
}

function prefixOf(text: string): { address: bigint; length: number; width: number } {
  const [address, length] = text.split('/')
  const width = isIPv4(address) ? 32 : 128
  const number =
    width === 32
      ? BigInt(ipv4.parse(address))
      : BigInt(`0x${Buffer.from(ipv6.parse(address)).toString('hex')}`)
  return { address: number, length: length === undefined ? width : Number(length), width }
}

function overlap(a: PortRange, b: PortRange): PortRange | undefined {
  const range = (port: PortRange) => (typeof port === 'number' ? { from: port, to: port } : port)
  const from = Math.max(range(a).from, range(b).from)
  const to = Math.min(range(a).to, range(b).to)
  return from > to ? undefined : from === to ? from : { from, to }
}
