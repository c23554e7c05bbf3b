/**
 * Translates the options of a software ConnectX into the specification that the native side parses
 * (binding/soft/device/specification.h).
 */
import {
  boolean,
  integer,
  type Names,
  options as optionsOf,
  rangeError,
  string,
  typeError,
} from '../argument.js'

/** One value for both directions, or a pair: from the first port to the second, and back. */
export type PerDirection = number | readonly [number, number]

/** Imperfections of a wire; each is 0 by default: a perfect wire. The same seed gives the same outcome. */
export interface SoftLink {
  /** Bits per second; 0, the default: no limit. A frame takes its length and 24 bytes, as on Ethernet. */
  bandwidth?: PerDirection
  /** Propagation delay, in nanoseconds. Default 0. */
  delay?: PerDirection
  /** Maximum additional delay in nanoseconds, drawn for each frame: frames may overtake each other. Default 0. */
  jitter?: PerDirection
  /** Probability that a frame is lost, 0 (default) to 1. */
  loss?: PerDirection
  /** Probability that a frame arrives twice, 0 (default) to 1. */
  duplicate?: PerDirection
  /** Probability that a frame arrives after the one behind it, 0 (default) to 1. */
  reorder?: PerDirection
  /** Bytes that may wait for bandwidth; frames that do not fit are lost. 256 KiB by default. */
  queue?: PerDirection
  /** Seed of the random draws; 1 by default. */
  seed?: number
}
const softLinkNames = {
  bandwidth: true,
  delay: true,
  jitter: true,
  loss: true,
  duplicate: true,
  reorder: true,
  queue: true,
  seed: true,
} as const satisfies Names<SoftLink>

/**
 * The wire between the ports, spelled as in IBVERBS_SOFT and `ibverbs soft --wire`.
 *
 * - `'loop'`: each port receives what it sends
 * - `'pair'`: two ports receive from each other
 * - `'socket:PATH'`: connects a port here with one of another process that names the same path (a Unix socket). When one of
 *   the two ends, the other connects to the next that comes; a third is refused (EBUSY)
 * - `'interface:NAME'`: an Ethernet interface of this machine (needs CAP_NET_RAW). The port is up while the interface has a
 *   carrier (PORT_ACTIVE, PORT_ERR), and its active MTU is the largest that fits the interface's: 1024 of 1500. With
 *   CAP_NET_ADMIN (and nf_tables of Linux 5.12) the kernel's own stack does not get the frames that flow rules or RDMA
 *   queue pairs take; without, standard error says that it does. The interface's addresses are in the port's GID table;
 *   address handles and RTR from one of them have the kernel find the neighbour, and wait a second at most
 */
export type SoftWire = 'loop' | 'pair' | `socket:${string}` | `interface:${string}`

/** Options of {@link softConnectX}. */
export interface SoftOptions {
  /** The wire; 'loop' by default. */
  wire?: SoftWire
  /**
   * Ports of a device, 1 by default. With the wire 'pair', 1 creates two devices, connected; 2 creates one device whose two
   * ports are connected.
   */
  ports?: 1 | 2
  /** Imperfections of the wire, for 'loop' and 'pair'. Default: none. */
  link?: SoftLink
  /** MAC addresses of the ports, in order: 'aa:bb:cc:dd:ee:ff', not multicast. Default: random ones. */
  macs?: readonly string[]
  /** Bytes of each frame that a raw packet send must carry inline: 0 (default), or 18 as older ConnectX require. */
  minimumInline?: 0 | 18
  /** Largest MTU of the ports: 4096 by default. */
  mtu?: 256 | 512 | 1024 | 2048 | 4096
  /**
   * Most objects of each kind on a device: queue pairs, completion queues, regions and so on. By default as many as a
   * ConnectX has; set a few to test how a program handles their exhaustion.
   */
  maxObjects?: number
  /**
   * Finds drivers that forget to write a doorbell register, or write it before the doorbell record: on a card they hang,
   * here they would work, because the NIC reads the records. Strict devices take sends of a queue pair with a register of
   * its own (a thread domain's) up to the index that the register told, and arm a context's only completion queue when
   * its register says so. A register that is ahead of its record raises QP_FATAL or CQ_ERR, and
   * {@link SoftConnectX.violations} says why; so does a WQE that was copied into the register (BlueFlame) and is not the
   * one in the ring. By default as IBVERBS_SOFT_STRICT says (1: strict), else false.
   */
  strict?: boolean
}
const softOptionNames = {
  wire: true,
  ports: true,
  link: true,
  macs: true,
  minimumInline: true,
  mtu: true,
  maxObjects: true,
  strict: true,
} as const satisfies Names<SoftOptions>

const links = {
  bandwidth: 1e12,
  delay: 1e11,
  jitter: 1e11,
  loss: 1,
  duplicate: 1,
  reorder: 1,
  queue: 2 ** 30,
} as const

/** @internal */
export function specification(given: SoftOptions | undefined): string {
  const options = optionsOf('options', given, softOptionNames)
  const ports = options.ports === undefined ? 1 : integer('options.ports', options.ports, 1, 2)
  const wire = wireWords(options.wire)
  const macs = macWords(options.macs)
  if (options.link !== undefined && wire !== 'loop' && wire !== 'pair') {
    throw typeError('options.link', "left out unless options.wire is 'loop' or 'pair'", options.link)
  }
  const link = linkWords(options.link)
  if (options.minimumInline !== undefined) {
    if (options.minimumInline !== 0 && options.minimumInline !== 18) {
      throw rangeError('options.minimumInline', '0 or 18', options.minimumInline)
    }
  }
  if (options.mtu !== undefined && ![256, 512, 1024, 2048, 4096].includes(options.mtu)) {
    throw rangeError('options.mtu', '256, 512, 1024, 2048 or 4096', options.mtu)
  }
  if (options.maxObjects !== undefined) integer('options.maxObjects', options.maxObjects, 1, 1 << 24)
  if (options.strict !== undefined) boolean('options.strict', options.strict)
  if (ports === 2 && wire !== 'loop' && wire !== 'pair') {
    throw rangeError('options.ports', '1: a socket or an interface is the wire of one port', ports)
  }
  const count = wire === 'pair' ? 2 : ports
  if (macs.length > count) throw rangeError('options.macs', `at most ${count} addresses`, options.macs)
  const words = Array.from({ length: count }, (_, i) => {
    const mac = macs[i] === undefined ? '' : `@${macs[i]}`
    // Both ends of a pair are one link; its options go with the first port.
    const query = [...(wire === 'pair' && i === 1 ? [] : link)]
    if (options.minimumInline !== undefined) query.push(`minimumInline=${options.minimumInline}`)
    if (options.mtu !== undefined) query.push(`mtu=${options.mtu}`)
    if (options.maxObjects !== undefined) query.push(`maxObjects=${options.maxObjects}`)
    if (options.strict !== undefined) query.push(`strict=${options.strict ? 1 : 0}`)
    return `${wire}${mac}${query.length > 0 ? `?${query.join('&')}` : ''}`
  })
  return words.join(ports === 2 ? '+' : ';')
}

function wireWords(wire: SoftWire | undefined): string {
  const text = string('options.wire', wire ?? 'loop')
  if (text === 'loop' || text === 'pair') return text
  // The name must not contain a separator of the specification.
  if (/^(socket|interface):[^;+@?\0]+$/.test(text)) return text
  throw rangeError(
    'options.wire',
    "'loop', 'pair', 'socket:PATH' or 'interface:NAME', without ; + @ ? in them",
    wire,
  )
}

function macWords(macs: readonly string[] | undefined): readonly string[] {
  if (macs === undefined) return []
  if (!Array.isArray(macs)) throw typeError('options.macs', 'an array of MAC addresses', macs)
  for (const [i, mac] of macs.entries()) {
    string(`options.macs[${i}]`, mac)
    if (!/^[\da-f]{2}(:[\da-f]{2}){5}$/i.test(mac) || Number.parseInt(mac.slice(0, 2), 16) & 1) {
      throw rangeError(`options.macs[${i}]`, "a MAC address like '02:00:0a:00:00:01', not multicast", mac)
    }
  }
  return macs
}

function linkWords(given: SoftLink | undefined): readonly string[] {
  const link = optionsOf('options.link', given, softLinkNames)
  const words = Object.entries(links).flatMap(([name, most]) => {
    const value = link[name as keyof typeof links]
    if (value === undefined) return []
    const values: readonly unknown[] = Array.isArray(value) ? value : [value]
    if (values.length < 1 || values.length > 2) {
      throw typeError(`options.link.${name}`, 'a number, or one for each direction', value)
    }
    for (const each of values) {
      if (typeof each !== 'number') throw typeError(`options.link.${name}`, 'a number', each)
      if (!(each >= 0 && each <= most)) throw rangeError(`options.link.${name}`, `from 0 to ${most}`, each)
    }
    return [`${name}=${values.join(',')}`]
  })
  if (link.seed !== undefined) words.push(`seed=${integer('options.link.seed', link.seed)}`)
  return words
}
