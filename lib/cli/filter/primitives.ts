/** The primitives of pcap-filter(7) that flow rules can say: each as the rules of which any must hold. */
import { isIPv4, isIPv6 } from 'node:net'
import { EtherType, IpProtocol } from '../../ethernet/headers/assigned-numbers.js'
import * as ethernet from '../../ethernet/headers/ethernet.js'
import * as ipv4 from '../../ethernet/headers/ipv4.js'
import * as ipv6 from '../../ethernet/headers/ipv6.js'
import type { FlowRule, PortRange } from '../../ethernet/index.js'
import { UsageError } from '../usage.js'
import { both, none } from './conjunction.js'

const reverseArp = 0x8035
/** Where ARP has the addresses of sender and target (RFC 826, for IPv4 over Ethernet). */
const arpSender = 14
const arpTarget = 24

/** Protocols that qualify what follows, and match by themselves: the rules of each. */
const protocols: Readonly<Record<string, readonly FlowRule[]>> = {
  ether: [{}],
  ip: [{ etherType: EtherType.ipv4 }],
  ip6: [{ etherType: EtherType.ipv6 }],
  arp: [{ etherType: EtherType.arp }],
  rarp: [{ etherType: reverseArp }],
  tcp: [{ protocol: IpProtocol.tcp }],
  udp: [{ protocol: IpProtocol.udp }],
  sctp: [{ protocol: IpProtocol.sctp }],
  icmp: [{ etherType: EtherType.ipv4, protocol: IpProtocol.icmp }],
  icmp6: [{ etherType: EtherType.ipv6, protocol: IpProtocol.icmp6 }],
}
const withPorts = ['tcp', 'udp', 'sctp']
const types = ['host', 'net', 'port', 'portrange', 'proto', 'broadcast', 'multicast'] as const
type Type = (typeof types)[number]
type Direction = 'src' | 'dst' | 'either' | 'both'

export function isPrimitive(word: string): boolean {
  return (
    Object.hasOwn(protocols, word) ||
    (types as readonly string[]).includes(word) ||
    word === 'src' ||
    word === 'dst' ||
    word === 'vlan'
  )
}

/** The words of the filter, one after another. */
export interface Words {
  /** The next one. @throws UsageError when there is none: `what` is missing */
  take(what: string): string
  /** The next one, left where it is. */
  next(): string | undefined
  skip(): void
}

export class Primitives {
  readonly #words: Words
  #last: ((identifier: string) => FlowRule[]) | undefined

  constructor(words: Words) {
    this.#words = words
  }

  /** Reads a primitive that begins with this word. */
  read(first: string): FlowRule[] {
    if (first === 'vlan') return this.#vlan()
    let protocol: string | undefined
    let word: string | undefined = first
    if (Object.hasOwn(protocols, first)) {
      protocol = first
      word = this.#words.next()
      const qualifies = word === 'src' || word === 'dst' || (types as readonly string[]).includes(word ?? '')
      if (!qualifies) {
        if (protocol === 'ether')
          throw new UsageError("filter: 'ether' what? host, src, dst, proto or broadcast")
        return [...protocols[protocol]]
      }
      this.#words.skip()
    }
    let direction: Direction = 'either'
    if (word === 'src' || word === 'dst') {
      direction = this.#direction(word)
      word = this.#words.next()
      if ((types as readonly string[]).includes(word ?? '')) this.#words.skip()
      else word = 'host'
    }
    const type = word as Type
    if (type === 'broadcast' || type === 'multicast') return [group(type, protocol)]
    this.#last = (identifier) => rulesOf(protocol, direction, type, identifier)
    return this.#last(this.#words.take(`an identifier for '${type}'`))
  }

  /** The primitive before, with another identifier. */
  again(identifier: string): FlowRule[] {
    if (!this.#last) throw new UsageError(`filter: '${identifier}' is what? Say host, net or port before it`)
    return this.#last(identifier)
  }

  /** 'src', 'dst', 'src or dst', 'src and dst'. */
  #direction(word: 'src' | 'dst'): Direction {
    const operator = this.#words.next()
    if (operator !== 'or' && operator !== 'and') return word
    this.#words.skip()
    const other = this.#words.take(`'${word === 'src' ? 'dst' : 'src'}'`)
    if (other === word || (other !== 'src' && other !== 'dst')) {
      throw new UsageError(`filter: '${word} ${operator} ${other}' is no direction`)
    }
    return operator === 'or' ? 'either' : 'both'
  }

  #vlan(): FlowRule[] {
    const id = this.#words.next()
    if (id === undefined || !/^\d+$/.test(id)) {
      throw new UsageError(
        "filter: 'vlan' without an id cannot be expressed as a flow rule: name one, 'vlan 5'",
      )
    }
    this.#words.skip()
    return [{ vlan: number('vlan', id, 0, 4094) }]
  }
}

function rulesOf(
  protocol: string | undefined,
  direction: Direction,
  type: Exclude<Type, 'broadcast' | 'multicast'>,
  identifier: string,
): FlowRule[] {
  if (type === 'proto') return protocolRules(protocol, identifier)
  if (type === 'port' || type === 'portrange') return portRules(protocol, direction, type, identifier)
  if (protocol === 'ether') return etherRules(direction, type, identifier)
  if (protocol !== undefined && withPorts.includes(protocol)) {
    throw new UsageError(`filter: '${protocol} ${type}' is no primitive: say '${protocol} and ${type} …'`)
  }
  return addressRules(protocol, direction, type, identifier)
}

/** The rules for source, destination, either or both. */
function directed(direction: Direction, of: (end: 'source' | 'destination') => FlowRule): FlowRule[] {
  if (direction === 'src') return [of('source')]
  if (direction === 'dst') return [of('destination')]
  if (direction === 'either') return [of('source'), of('destination')]
  const rule = both(of('source'), of('destination'))
  return rule ? [rule] : none
}

function etherRules(direction: Direction, type: string, identifier: string): FlowRule[] {
  if (type !== 'host') throw new UsageError(`filter: 'ether ${type}' is no primitive: say 'ether host'`)
  let mac: string
  try {
    mac = ethernet.format(ethernet.parse(identifier))
  } catch {
    throw new UsageError(`filter: '${identifier}' is no MAC address`)
  }
  return directed(direction, (end) => (end === 'source' ? { sourceMac: mac } : { destinationMac: mac }))
}

/** An address or a prefix: in the IP header, and, where nothing else is said, in ARP and RARP too, as tcpdump does. */
function addressRules(
  protocol: string | undefined,
  direction: Direction,
  type: 'host' | 'net',
  identifier: string,
): FlowRule[] {
  const prefix = prefixOf(type, identifier)
  const version = isIPv4(prefix.split('/')[0]) ? 'ip' : 'ip6'
  const kinds = protocol === undefined ? (version === 'ip' ? ['ip', 'arp', 'rarp'] : ['ip6']) : [protocol]
  return kinds.flatMap((kind) => {
    if (kind === 'arp' || kind === 'rarp') {
      if (version === 'ip6') throw new UsageError(`filter: ${kind} has IPv4 addresses, not '${identifier}'`)
      return directed(direction, (end) => ({ ...protocols[kind][0], ...arpAddress(prefix, end) }))
    }
    return directed(direction, (end) => ({ [end]: prefix })).flatMap((rule) =>
      protocols[kind].flatMap((each) => both(each, withVersion(rule, version)) ?? none),
    )
  })
}

function withVersion(rule: FlowRule, version: 'ip' | 'ip6'): FlowRule {
  return { ...rule, ...protocols[version][0] }
}

function arpAddress(prefix: string, end: 'source' | 'destination'): FlowRule {
  const [address, length = '32'] = prefix.split('/')
  const bits = Number(length)
  if (bits === 0) return {}
  const bytes = (word: number) => Uint8Array.of(word >>> 24, word >>> 16, word >>> 8, word)
  const offset = end === 'source' ? arpSender : arpTarget
  const mask = bytes((0xffffffff << (32 - bits)) >>> 0)
  return { bytes: [{ from: 'network', offset, value: bytes(ipv4.parse(address)), mask }] }
}

/** In CIDR notation. A net of fewer than four numbers has that many bytes, as in 'net 10'. */
function prefixOf(type: 'host' | 'net', identifier: string): string {
  const [address, length, more] = identifier.split('/')
  const wrong = (what: string) => new UsageError(`filter: ${what}`)
  if (type === 'host') {
    if (isIPv4(identifier) || isIPv6(identifier)) return identifier
    if (/^[\da-f]{2}([:-][\da-f]{2}){5}$/i.test(identifier)) {
      throw wrong(`'${identifier}' is a MAC address: say 'ether host'`)
    }
    throw wrong(`'${identifier}' is no IP address; names are not looked up`)
  }
  const numbers = /^\d+(\.\d+){0,2}$/.test(address) ? address.split('.').length : 4
  const whole = numbers < 4 ? address + '.0'.repeat(4 - numbers) : address
  const width = isIPv4(whole) ? 32 : 128
  if ((!isIPv4(whole) && !isIPv6(whole)) || more !== undefined) throw wrong(`'${identifier}' is no network`)
  const bits = length === undefined ? (width === 32 ? numbers * 8 : 128) : Number(length)
  if (!/^\d*$/.test(length ?? '') || bits > width) throw wrong(`'/${length}' is no length of a prefix`)
  const cut = network(whole, bits)
  if (cut !== whole && prefixText(cut) !== prefixText(whole)) {
    throw wrong(`'${identifier}' has bits behind its length: '${cut}/${bits}'?`)
  }
  return `${whole}/${bits}`
}

const prefixText = (address: string) => (isIPv4(address) ? address : ipv6.format(ipv6.parse(address)))

function network(address: string, bits: number): string {
  if (isIPv4(address)) {
    return ipv4.format(bits === 0 ? 0 : (ipv4.parse(address) & (0xffffffff << (32 - bits))) >>> 0)
  }
  const bytes = ipv6
    .parse(address)
    .map((byte, i) => byte & (0xff00 >> Math.min(8, Math.max(0, bits - 8 * i))))
  return ipv6.format(bytes)
}

function portRules(
  protocol: string | undefined,
  direction: Direction,
  type: 'port' | 'portrange',
  identifier: string,
): FlowRule[] {
  if (protocol !== undefined && !withPorts.includes(protocol) && protocol !== 'ip' && protocol !== 'ip6') {
    throw new UsageError(`filter: ${protocol} has no ports`)
  }
  const port = portOf(type, identifier)
  const kinds = protocol !== undefined && withPorts.includes(protocol) ? [protocol] : withPorts
  return kinds.flatMap((kind) =>
    directed(direction, (end) => ({
      ...protocols[kind][0],
      ...(protocol === 'ip' || protocol === 'ip6' ? protocols[protocol][0] : {}),
      [end === 'source' ? 'sourcePort' : 'destinationPort']: port,
    })),
  )
}

function portOf(type: 'port' | 'portrange', identifier: string): PortRange {
  if (type === 'port') return number('port', identifier, 0, 65535)
  const [, from, to] = /^(\d+)-(\d+)$/.exec(identifier) ?? []
  if (from === undefined) throw new UsageError(`filter: '${identifier}' is no range of ports like 5000-5010`)
  const low = number('port', from, 0, 65535)
  return { from: low, to: number('port', to, low, 65535) }
}

const etherTypeNames: Readonly<Record<string, number>> = {
  ip: EtherType.ipv4,
  ip6: EtherType.ipv6,
  arp: EtherType.arp,
  rarp: reverseArp,
}

function protocolRules(protocol: string | undefined, identifier: string): FlowRule[] {
  const name = identifier.replace(/^\\/, '')
  if (protocol === 'ether') {
    return [{ etherType: etherTypeNames[name] ?? number('ether proto', name, 0x0600, 0xffff) }]
  }
  if (protocol !== undefined && protocol !== 'ip' && protocol !== 'ip6') {
    throw new UsageError(`filter: '${protocol} proto' is no primitive: ether, ip and ip6 have one`)
  }
  const known = Object.hasOwn(IpProtocol, name) ? IpProtocol[name as keyof typeof IpProtocol] : undefined
  const rule: FlowRule = { protocol: known ?? number('proto', name, 0, 255) }
  return [protocol === undefined ? rule : { ...rule, ...protocols[protocol][0] }]
}

function group(type: 'broadcast' | 'multicast', protocol: string | undefined): FlowRule {
  if (protocol !== undefined && protocol !== 'ether') {
    throw new UsageError(
      `filter: '${protocol} ${type}' cannot be expressed as a flow rule: say 'ether ${type}'`,
    )
  }
  if (type === 'broadcast') return { destinationMac: 'ff:ff:ff:ff:ff:ff' }
  return { bytes: [{ offset: 0, value: Uint8Array.of(1), mask: Uint8Array.of(1) }] }
}

function number(what: string, text: string, low: number, high: number): number {
  const value = /^(\d+|0x[\da-f]+)$/i.test(text) ? Number(text) : Number.NaN
  if (!(value >= low && value <= high)) {
    throw new UsageError(`filter: ${what} must be an integer from ${low} to ${high}, not '${text}'`)
  }
  return value
}
