/**
 * Filters in the words of tcpdump (pcap-filter(7)), as far as flow rules can say them: each alternative of the filter is
 * a rule, and the backend matches them where the frames come in.
 */
import { isIP, isIPv4 } from 'node:net'
import type { FlowRule } from '../ethernet/index.js'
import { both, none } from './filter/conjunction.js'
import { isPrimitive, Primitives } from './filter/primitives.js'
import { UsageError } from './usage.js'

/** As many rules as there may be: what compiles to more is not a filter that anybody writes. */
const mostRules = 256

/** For the help of the commands that have a filter. */
export const filterHelp = `FILTER says which frames, in tcpdump's words, as far as flow rules have them:
[ether|ip|ip6|arp|tcp|udp|sctp] [src|dst] host|net|port|portrange|proto …; ip, ip6, arp, tcp, udp,
icmp, icmp6; vlan ID; ether broadcast|multicast; and, or, ( ). VLAN tags are passed over, IPv6
extension headers are not. The kernel's BPF matches them, or with af_xdp the XDP program.`

/** Words of pcap-filter(7) that a flow rule cannot express, and why. */
const inexpressible: Readonly<Record<string, string>> = {
  not: 'flow rules say what is wanted, not what is not',
  '!': 'flow rules say what is wanted, not what is not',
  less: 'flow rules do not look at lengths',
  greater: 'flow rules do not look at lengths',
  len: 'flow rules do not look at lengths',
  gateway: 'name the MAC address: ether host',
  inbound: "say '-Q in'",
  outbound: 'flow rules do not look at directions',
  mpls: 'flow rules do not look below MPLS labels',
  protochain: 'flow rules do not pass over extension headers',
  portmask: 'say portrange',
}

/**
 * The flow rules of a filter; undefined for an empty one, which is every frame.
 *
 * @throws UsageError naming the word that is wrong, or that a flow rule cannot express
 */
export function parseFilter(words: readonly string[]): FlowRule[] | undefined {
  const tokens = words
    .join(' ')
    .replace(/\(|\)|&&|\|\||!(?!=)/g, ' $& ')
    .trim()
    .split(/\s+/)
    .filter((token) => token !== '')
  if (tokens.length === 0) return undefined
  const parser = new Parser(tokens)
  const rules = parser.expression()
  if (parser.next !== undefined) throw new UsageError(`filter: unexpected '${parser.next}'`)
  if (rules.length === 0) throw new UsageError(`filter: no frame can match '${tokens.join(' ')}'`)
  return rules
}

class Parser {
  readonly #tokens: readonly string[]
  readonly #primitives: Primitives
  #at = 0

  constructor(tokens: readonly string[]) {
    this.#tokens = tokens
    this.#primitives = new Primitives({
      take: (what) => this.#take(what),
      next: () => this.next,
      skip: () => {
        this.#at++
      },
    })
  }

  get next(): string | undefined {
    return this.#tokens[this.#at]
  }

  /** 'and' and 'or' have the same precedence and are read from left to right, as pcap-filter(7) says. */
  expression(): FlowRule[] {
    let rules = this.#term()
    for (;;) {
      const operator = this.next
      if (operator === 'and' || operator === '&&') {
        this.#at++
        const right = this.#term()
        rules = rules.flatMap((a) => right.flatMap((b) => both(a, b) ?? none))
      } else if (operator === 'or' || operator === '||') {
        this.#at++
        rules = [...rules, ...this.#term()]
      } else return rules
      rules = distinct(rules)
      if (rules.length > mostRules) throw new UsageError(`filter: it makes more than ${mostRules} flow rules`)
    }
  }

  #term(): FlowRule[] {
    const word = this.#take('a primitive')
    if (word === '(') {
      const rules = this.expression()
      if (this.#take("')'") !== ')') throw new UsageError("filter: ')' is missing")
      return rules
    }
    const why = Object.hasOwn(inexpressible, word) ? inexpressible[word] : undefined
    if (why !== undefined)
      throw new UsageError(`filter: '${word}' cannot be expressed as a flow rule: ${why}`)
    if (word.includes('[') || /^[<>=]/.test(this.next ?? '')) {
      throw new UsageError(
        `filter: '${word}' cannot be expressed as a flow rule: comparisons of bytes are not read here`,
      )
    }
    if (isPrimitive(word)) return this.#primitives.read(word)
    // 'port 80 or 443': an identifier without a keyword has that of the one before.
    if (isIP(word) || isIPv4(word.split('/')[0]) || /^\d/.test(word)) return this.#primitives.again(word)
    throw new UsageError(`filter: unknown word '${word}'; see 'ibverbs dump --help'`)
  }

  #take(what: string): string {
    const word = this.#tokens[this.#at++]
    if (word === undefined) throw new UsageError(`filter: it ends where ${what} should be`)
    return word
  }
}

function distinct(rules: FlowRule[]): FlowRule[] {
  const text = (rule: FlowRule) =>
    JSON.stringify(Object.entries(rule).sort(), (_, value) =>
      value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value,
    )
  return [...new Map(rules.map((rule) => [text(rule), rule])).values()]
}
