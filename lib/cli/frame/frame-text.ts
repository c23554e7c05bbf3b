/**
 * One line for an Ethernet frame, in the words of tcpdump(1) 4.99 with -n and absolute sequence numbers (-S): down to the
 * transport header, and through tunnels. Protocols above ports (DNS, HTTP …) are not decoded: UDP and a length.
 */
import { headerLength } from '../../headers/ethernet.js'
import { arpText } from './arp-text.js'
import {
  controlText,
  eapolText,
  lldpText,
  loopbackText,
  macsecText,
  ptpText,
  slowText,
} from './control-text.js'
import { Dissection, Truncated } from './dissection.js'
import { etherTypeText } from './ether-types.js'
import { ipv4Text, ipv6Text } from './ip-text.js'
import { llcText } from './llc-text.js'
import { mplsText } from './mpls-text.js'
import { pppoeDiscoveryText, pppoeSessionText } from './pppoe-text.js'

/** Values up to this one are the length of an IEEE 802.3 frame, not a type. */
const lastLength = 1500

export interface FrameTextOptions {
  /** Print the link-level header too: MAC addresses, EtherType, length (tcpdump -e). */
  link?: boolean
  /** Bytes that the frame had on the wire, when not all of them were captured. */
  wireLength?: number
}

/** Describes a frame in one line without a time. Never throws: the text says what is cut off or unknown. */
export function frameText(frame: Uint8Array, options: FrameTextOptions = {}): string {
  const { link = false, wireLength = frame.length } = options
  const dissection = new Dissection(frame, link, payloadText)
  try {
    ethernetText(dissection, 0, wireLength)
  } catch (error) {
    if (!(error instanceof Truncated)) throw error
    dissection.print(` [|${error.what}]`)
  }
  // tcpdump prints a payload it does not know as bytes behind a colon, and sometimes a superfluous space.
  return dissection.text
    .replace(/ {2,}/g, ' ')
    .replace(/[:,\s]+$/, '')
    .trimStart()
}

/** Where the payload of a frame with a whole header begins: behind its VLAN tags, if it has any. */
export function payloadOffset(frame: Uint8Array): number {
  let at = headerLength
  while (isTag((frame[at - 2] << 8) | frame[at - 1]) && at + 4 <= frame.length) at += 4
  return at
}

/** 802.1Q, 802.1ad, and the tag used before 802.1ad. */
function isTag(type: number): boolean {
  return type === 0x8100 || type === 0x88a8 || type === 0x9100 || type === 0x9200
}

/** @param end where the frame ended on the wire */
function ethernetText(frame: Dissection, at: number, end: number): void {
  if (!frame.has(at, headerLength)) {
    frame.print(`[|ether] length ${end - at}`)
    return
  }
  const before = frame.text
  let header = headerText(frame, at, end)
  let payload = at + headerLength
  let type = frame.u16(payload - 2)
  for (; isTag(type); payload += 4) {
    if (!frame.has(payload, 4)) {
      frame.print(header)
      frame.need(payload, 4, 'vlan')
    }
    type = frame.u16(payload + 2)
    const next = type > lastLength ? `ethertype ${etherTypeText(type)}` : '802.3'
    header += `${tagText(frame.u16(payload))}, ${next}, `
  }
  if (frame.link) frame.print(header)
  if (type <= lastLength) {
    // Bytes beyond the length are padding.
    llcText(frame, payload, Math.min(end, payload + type), at)
  } else if (!frame.payload(type, payload, end) && !frame.link) {
    // The payload is unknown: print the header alone.
    frame.text = before + header
  }
}

function headerText(frame: Dissection, at: number, end: number): string {
  const type = frame.u16(at + 12)
  const kind =
    type <= lastLength
      ? `802.3, length ${Math.min(type, end - at - headerLength)}`
      : `ethertype ${etherTypeText(type)}, length ${end - at}`
  return `${frame.mac(at + 6)} > ${frame.mac(at)}, ${kind}: `
}

/** Prints the payload; returns whether the type is known. */
function payloadText(frame: Dissection, type: number, at: number, end: number): boolean {
  const print = printers[type]
  print?.(frame, at, end)
  return print !== undefined
}

const printers: Readonly<Record<number, (frame: Dissection, at: number, end: number) => void>> = {
  2048: ipv4Text,
  2054: arpText,
  25944: ethernetText,
  32821: arpText,
  34525: ipv6Text,
  34824: controlText,
  34825: slowText,
  34887: mplsText,
  34888: mplsText,
  34915: pppoeDiscoveryText,
  34916: pppoeSessionText,
  34958: eapolText,
  35020: lldpText,
  35045: macsecText,
  35063: ptpText,
  36864: loopbackText,
}

/** A tag's control information: 3 bits priority, 1 bit drop eligible, 12 bits VLAN id (IEEE 802.1Q). */
function tagText(tag: number): string {
  return `vlan ${tag & 0xfff}, p ${tag >> 13}${tag & 0x1000 ? ', DEI' : ''}`
}
