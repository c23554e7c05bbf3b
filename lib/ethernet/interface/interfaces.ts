import { string } from '../../argument.js'
import { verbsError } from '../../errors.js'
import { formatMac } from '../../headers/mac.js'
import { native } from '../../native.js'
import type { NativeInterface } from '../native.js'

/** A network interface of this network namespace, as it was at the time of the query. */
export interface NetworkInterface {
  readonly name: string
  /** Number of the interface in the kernel (if_nametoindex(3)). */
  readonly index: number
  /** Hardware address as ip(8) prints it; empty for an interface that is not Ethernet. */
  readonly mac: string
  /** {@link mac} as bytes. */
  readonly macBytes: Uint8Array
  /** Largest payload of a frame in bytes, without the Ethernet header. */
  readonly mtu: number
  /** Kind of hardware, ARPHRD_* of net/if_arp.h: 1 is Ethernet, 772 the loopback. */
  readonly type: number
  /** IFF_UP: administratively up (`ip link set NAME up`). */
  readonly up: boolean
  /** IFF_RUNNING: up and operational. */
  readonly running: boolean
  /** IFF_LOWER_UP: there is a carrier. Without one the kernel accepts frames and drops them. */
  readonly carrier: boolean
  /** IFF_LOOPBACK */
  readonly loopback: boolean
}

/** IFF_*, net/if.h (netdevice(7)) and linux/if.h */
const Flag = { up: 0x1, loopback: 0x8, running: 0x40, lowerUp: 0x10000 } as const

/**
 * Every network interface of this network namespace, in the order of the kernel's list. Needs no privilege.
 *
 * @throws VerbsError of rtnetlink(7)
 */
export function listInterfaces(): NetworkInterface[] {
  return native.ethernet.interfaces().map(describe)
}

/**
 * One interface by its name.
 *
 * @throws VerbsError ENODEV, with a list of the existing interfaces
 */
export function queryInterface(name: string): NetworkInterface {
  string('name', name)
  const all = native.ethernet.interfaces()
  const found = all.find((entry) => entry.name === name)
  if (found) return describe(found)
  const names = all.map((entry) => entry.name).join(', ')
  throw verbsError('ENODEV', 'if_nametoindex', `no interface "${name}" here; there are: ${names || 'none'}`)
}

function describe(entry: NativeInterface): NetworkInterface {
  return Object.freeze({
    name: entry.name,
    index: entry.index,
    mac: entry.mac.length >= 6 ? formatMac(entry.mac) : '',
    macBytes: entry.mac,
    mtu: entry.mtu,
    type: entry.type,
    up: (entry.flags & Flag.up) !== 0,
    running: (entry.flags & Flag.running) !== 0,
    carrier: (entry.flags & Flag.lowerUp) !== 0,
    loopback: (entry.flags & Flag.loopback) !== 0,
  })
}
