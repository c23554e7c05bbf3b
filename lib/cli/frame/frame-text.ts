/** One line for an Ethernet frame, in the words of tcpdump(1) with -n and absolute sequence numbers (-S). */
import { arpText } from './arp-text.js'
import { FrameView, Truncated } from './frame-view.js'
import { ipv4Text, ipv6Text } from './ip-text.js'

// Names as tcpdump prints them; numbers: https://www.iana.org/assignments/ieee-802-numbers
const etherTypes: Readonly<Record<number, string>> = {
  2048: 'IPv4',
  2054: 'ARP',
  32821: 'Reverse ARP',
  33024: '802.1Q',
  34525: 'IPv6',
  34887: 'MPLS unicast',
  34888: 'MPLS multicast',
  34915: 'PPPoE D',
  34916: 'PPPoE S',
  34984: '802.1Q-QinQ',
  35020: 'LLDP',
  36864: 'Loopback',
}

/** Values up to this one are the length of an IEEE 802.3 frame, not a type. */
const lastLength = 1500

/** MAC addresses (twice 6 bytes) and EtherType. */
export const ethernetHeaderLength = 14

export interface FrameTextOptions {
  /** Print the link-level header too: MAC addresses, EtherType, length (tcpdump -e). */
  link?: boolean
  /** Bytes that the frame had on the wire, when not all of them were captured. */
  wireLength?: number
}

/** What the frame is, in one line without a time. Never throws: what is cut off or unknown is said to be. */
export function frameText(frame: Uint8Array, options: FrameTextOptions = {}): string {
  const { link = false, wireLength = frame.length } = options
  const view = new FrameView(frame)
  if (frame.length < ethernetHeaderLength) return `[|ether] length ${frame.length}`
  const header = linkHeader(view, wireLength)
  const at = payloadOffset(frame)
  const type = view.u16(at - 2)
  let tags = ''
  for (let tag = ethernetHeaderLength; tag < at; tag += 4) {
    const next = view.u16(tag + 2)
    tags += `${vlanText(view.u16(tag))}, ${next > lastLength ? `ethertype ${etherTypeText(next)}, ` : ''}`
  }
  const payload = payloadText(view, at, type, !link)
  if (payload === undefined) return `${header}${tags}`.replace(/[:,\s]+$/, '')
  return link ? `${header}${tags}${payload}` : payload
}

/** Where the payload of a frame with a whole header begins: behind the tags of 802.1Q and 802.1ad, if it has any. */
export function payloadOffset(frame: Uint8Array): number {
  let at = ethernetHeaderLength
  const type = () => (frame[at - 2] << 8) | frame[at - 1]
  while ((type() === 0x8100 || type() === 0x88a8) && at + 4 <= frame.length) at += 4
  return at
}

function linkHeader(view: FrameView, wireLength: number): string {
  const type = view.u16(12)
  const kind = type <= lastLength ? '802.3' : `ethertype ${etherTypeText(type)}`
  return `${view.mac(6)} > ${view.mac(0)}, ${kind}, length ${wireLength}: `
}

/** What follows the link-level header; undefined when nobody here knows it. */
function payloadText(view: FrameView, at: number, type: number, named: boolean): string | undefined {
  try {
    if (type === 0x0800) return `${named ? 'IP ' : ''}${ipv4Text(view, at)}`
    if (type === 0x86dd) return `${named ? 'IP6 ' : ''}${ipv6Text(view, at)}`
    if (type === 0x0806) return `${named ? 'ARP, ' : ''}${arpText(view, at)}`
    return undefined
  } catch (error) {
    if (error instanceof Truncated) return `${named ? `${protocolName(type)} ` : ''}[|${error.what}]`
    throw error
  }
}

function protocolName(type: number): string {
  return type === 0x0800 ? 'IP' : type === 0x86dd ? 'IP6' : 'ARP,'
}

function etherTypeText(type: number): string {
  return `${etherTypes[type] ?? 'Unknown'} (0x${type.toString(16).padStart(4, '0')})`
}

/** A tag's control information: 3 bits priority, 1 bit drop eligible, 12 bits VLAN (IEEE 802.1Q). */
function vlanText(tag: number): string {
  return `vlan ${tag & 0xfff}, p ${tag >> 13}${tag & 0x1000 ? ', DEI' : ''}`
}
