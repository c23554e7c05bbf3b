/** The kernel decapsulates the headers that we push, and we pop the kernel's: VLAN, QinQ, VXLAN and GRE, every byte. */
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import {
  checksum,
  EtherType,
  ethernet,
  FrameFlag,
  gre,
  IpProtocol,
  icmp,
  ipv4,
  PacketQueue,
  parseMac,
  udp,
  vlan,
  vxlan,
} from 'ibverbs/ethernet'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { limit } from '../../beds/limit.js'
import {
  customerVlanId,
  greKey,
  innerMac,
  makeDevices,
  type NetworkName,
  networks,
  ours,
  removeDevices,
  serviceVlanId,
  theirs,
  vlanId,
  vxlanIdentifier,
} from './kernel-devices.js'

const headroom = 128
const port = 7000
const outer = {
  destinationMac: theirs.mac,
  sourceMac: ours.mac,
  source: ours.address,
  destination: theirs.address,
}
const outerBack = {
  destinationMac: ours.mac,
  sourceMac: theirs.mac,
  source: theirs.address,
  destination: ours.address,
}
let greSequence = 0

/** The headers before an inner frame (or, for `gre`, an inner packet), each way. */
interface Encapsulation {
  /** Whether there is an inner Ethernet header, and its addresses. */
  inner: { to: string; from: string } | null
  /** Pushes the headers before [at, end); returns the new start of the frame. */
  push(bytes: Uint8Array, at: number, end: number, start: number): number
  /** Pushes them as the kernel does, with the kernel's own choices taken from `frame`, which it sent. */
  pushAsKernel(bytes: Uint8Array, at: number, end: number, start: number, frame: Uint8Array): number
  /** The start of the inner frame in [at, end); −1 when there is none of this kind. */
  pop(bytes: Uint8Array, at: number, end: number): number
}

const direct = { to: theirs.mac, from: ours.mac }
const tunnelled = { to: innerMac.theirs, from: innerMac.ours }

/** The identification and the flags of the outer IP header are the kernel's choice. */
function asKernelChose(bytes: Uint8Array, at: number, frame: Uint8Array): void {
  ipv4.setIdentification(bytes, at + 14, ipv4.identification(frame, 14))
  ipv4.setFlags(bytes, at + 14, ipv4.flags(frame, 14))
  ipv4.writeChecksum(bytes, at + 14)
}

function singleTag(bytes: Uint8Array, at: number, _end: number, start: number): number {
  return vlan.push(bytes, at, start, vlan.controlOf(vlanId))
}

function twoTags(bytes: Uint8Array, at: number, _end: number, start: number): number {
  const tagged = vlan.push(bytes, at, start, vlan.controlOf(customerVlanId))
  return vlan.push(bytes, tagged, start, vlan.controlOf(serviceVlanId), EtherType.serviceVlan)
}

const encapsulations: Record<NetworkName, Encapsulation> = {
  vlan: {
    inner: direct,
    push: singleTag,
    pushAsKernel: singleTag,
    pop: (bytes, at, end) => (vlan.id(bytes, at + 14) === vlanId ? vlan.pop(bytes, at, end) : -1),
  },
  qinq: {
    inner: direct,
    push: twoTags,
    pushAsKernel: twoTags,
    pop(bytes, at, end) {
      if (ethernet.etherType(bytes, at) !== EtherType.serviceVlan) return -1
      if (vlan.id(bytes, at + 14) !== serviceVlanId) return -1
      const once = vlan.pop(bytes, at, end)
      return vlan.id(bytes, once + 14) === customerVlanId ? vlan.pop(bytes, once, end) : -1
    },
  },
  vxlan: {
    inner: tunnelled,
    push(bytes, at, end, start) {
      const header = vxlan.outer({ ...outer, networkIdentifier: vxlanIdentifier })
      return vxlan.push(bytes, at, end, start, header, vxlan.flowPort(bytes, at, end))
    },
    pushAsKernel(bytes, at, end, start, frame) {
      const header = vxlan.outer({ ...outerBack, networkIdentifier: vxlanIdentifier, udpChecksum: true })
      const sourcePort = udp.sourcePort(frame, 14 + 20)
      const from = vxlan.push(bytes, at, end, start, header, sourcePort)
      asKernelChose(bytes, from, frame)
      return from
    },
    pop(bytes, at, end) {
      const header = vxlan.find(bytes, at, end)
      return header >= 0 && vxlan.networkIdentifier(bytes, header) === vxlanIdentifier
        ? vxlan.pop(bytes, at, end)
        : -1
    },
  },
  gretap: {
    inner: tunnelled,
    push(bytes, at, end, start) {
      const header = gre.outer({ ...outer, key: greKey, sequence: true, checksum: true })
      return gre.push(bytes, at, end, start, header, greSequence++)
    },
    pushAsKernel(bytes, at, end, start, frame) {
      const header = gre.outer({ ...outerBack, key: greKey, sequence: true, checksum: true })
      const from = gre.push(bytes, at, end, start, header, gre.sequence(frame, 14 + 20))
      asKernelChose(bytes, from, frame)
      return from
    },
    pop(bytes, at, end) {
      const header = gre.find(bytes, at, end)
      return header >= 0 && gre.key(bytes, header) === greKey ? gre.pop(bytes, at, end) : -1
    },
  },
  gre: {
    inner: null,
    push: (bytes, at, end, start) =>
      gre.push(bytes, at, end, start, gre.outer({ ...outer, protocol: EtherType.ipv4 })),
    pushAsKernel(bytes, at, end, start, frame) {
      const header = gre.outer({ ...outerBack, protocol: EtherType.ipv4 })
      const from = gre.push(bytes, at, end, start, header)
      asKernelChose(bytes, from, frame)
      return from
    },
    pop: (bytes, at, end) => gre.pop(bytes, at, end),
  },
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

const pattern = (length: number, seed: number) => Buffer.from(Array.from({ length }, (_, i) => i * 7 + seed))

/** Writes Ethernet, if there is any, and an IPv4 header; returns the payload's offset. */
function writeIp(
  bytes: Uint8Array,
  at: number,
  addresses: { to: string; from: string } | null,
  ...rest: [payloadLength: number, protocol: number, from: string, to: string, identification?: number]
): number {
  const [payloadLength, protocol, from, to, identification = 0] = rest
  const ip = addresses
    ? ethernet.write(bytes, at, parseMac(addresses.to), parseMac(addresses.from), EtherType.ipv4)
    : at
  return ipv4.write(
    ...([bytes, ip, payloadLength, protocol, ipv4.parse(from), ipv4.parse(to), 64, identification] as const),
  )
}

/** Writes a datagram in an IPv4 packet; returns its end. */
function writeDatagram(
  bytes: Uint8Array,
  at: number,
  addresses: { to: string; from: string } | null,
  from: string,
  to: string,
  ports: readonly [number, number],
  payload: Uint8Array,
): number {
  const datagram = writeIp(
    ...([bytes, at, addresses, udp.headerLength + payload.length, IpProtocol.udp, from, to] as const),
  )
  const data = udp.write(bytes, datagram, ports[0], ports[1], payload.length)
  bytes.set(payload, data)
  udp.writeChecksum(bytes, datagram, datagram - ipv4.minimumHeaderLength)
  return data + payload.length
}

describe('the kernel’s own devices', () => {
  let queue: PacketQueue
  const sockets: Partial<Record<NetworkName, Socket>> = {}

  beforeAll(async () => {
    makeDevices()
    queue = PacketQueue.open(ours.interface, { headroom })
    for (const [name, { address }] of Object.entries(networks)) {
      const socket = createSocket('udp4').bind(port, address)
      sockets[name as NetworkName] = socket
      await once(socket, 'listening')
    }
  })
  afterAll(() => {
    for (const socket of Object.values(sockets)) socket.close()
    queue?.close()
    removeDevices()
  })

  /** Sends the bytes that `write` puts behind the headroom, in their encapsulation. */
  function send(name: NetworkName, write: (at: number) => number): void {
    const slot = queue.claim()
    const start = queue.offset(slot) - headroom
    const at = queue.offset(slot)
    const end = write(at)
    const from = encapsulations[name].push(queue.memory, at, end, start)
    expect(from).toBeGreaterThanOrEqual(start)
    queue.send(slot, end - from, from)
    expect(queue.submit()).toBe(1)
  }

  /** The next frame that the kernel sends, as on the wire: with the tag that the kernel stripped. */
  async function receive<T>(
    use: (bytes: Uint8Array, at: number, end: number, flags: number) => T,
  ): Promise<T> {
    await queue.wait({ signal: AbortSignal.timeout(limit) })
    expect(queue.receive()).toBe(1)
    const slot = queue.slot(0)
    const at = queue.offset(slot)
    const tag = queue.vlan(slot)
    const from =
      tag === 0 ? at : vlan.push(queue.memory, at, at - headroom, tag & 0xffff, Math.floor(tag / 65536))
    try {
      return use(queue.memory, from, at + queue.length(slot), queue.flags(slot))
    } finally {
      queue.release(slot)
    }
  }

  for (const name of Object.keys(networks) as NetworkName[]) {
    const { address, peer } = networks[name]
    const { inner, pop, pushAsKernel } = encapsulations[name]
    const back = inner && { to: inner.from, from: inner.to }

    it.each([1, 64, 1001])(`${name}: delivers a datagram of %i bytes that we put into it`, async (length) => {
      const payload = pattern(length, 3)
      const arrived = once(sockets[name]!, 'message', { signal: AbortSignal.timeout(limit) })
      send(name, (at) => writeDatagram(queue.memory, at, inner, peer, address, [port + 1, port], payload))
      const [message, from] = await arrived
      expect({ address: from.address, port: from.port }).toEqual({ address: peer, port: port + 1 })
      expect(hex(message)).toBe(hex(payload))
    })

    it.each([1, 64, 1001])(
      `${name}: a datagram of %i bytes comes out as the kernel put it in`,
      async (length) => {
        const payload = pattern(length, 5)
        sockets[name]!.send(payload, port + 2, peer)
        await receive((bytes, at, end, flags) => {
          const whole = bytes.slice(at, end)
          const frame = whole.slice()
          const begins = pop(frame, 0, frame.length)
          expect(begins).toBeGreaterThan(0)
          const ip = begins + (inner ? ethernet.headerLength : 0)
          const identification = ipv4.identification(frame, ip)
          // The kernel leaves the innermost checksum to a veth device.
          if ((flags & FrameFlag.checksumPartial) !== 0) {
            for (const each of [frame, whole]) udp.writeChecksum(each, ipv4.payload(frame, ip), ip)
          }

          const expected = new Uint8Array(2048)
          const to = writeDatagram(expected, headroom, back, address, peer, [port, port + 2], payload)
          const expectedIp = headroom + (inner ? ethernet.headerLength : 0)
          ipv4.setIdentification(expected, expectedIp, identification)
          ipv4.writeChecksum(expected, expectedIp)
          expect(hex(frame.subarray(begins))).toBe(hex(expected.subarray(headroom, to)))

          // And the headers around it.
          const from = pushAsKernel(expected, headroom, to, 0, whole)
          expect(hex(whole)).toBe(hex(expected.subarray(from, to)))
        })
      },
    )

    it(`${name}: the kernel answers a ping in it, in it`, async () => {
      const data = pattern(56, 9)
      send(name, (at) => {
        const message = writeIp(
          ...([queue.memory, at, inner, icmp.headerLength + 56, IpProtocol.icmp, peer, address] as const),
        )
        const begins = icmp.writeEcho(queue.memory, message, icmp.Type.echoRequest, 0x1234, 7)
        queue.memory.set(data, begins)
        icmp.writeChecksum(queue.memory, message, message - ipv4.minimumHeaderLength)
        return begins + 56
      })
      await receive((bytes, at, end) => {
        const frame = bytes.slice(at, end)
        const begins = pop(frame, 0, frame.length)
        const ip = begins + (inner ? ethernet.headerLength : 0)
        const message = ipv4.payload(frame, ip)
        expect(ipv4.format(ipv4.source(frame, ip))).toBe(address)
        expect(ipv4.format(ipv4.destination(frame, ip))).toBe(peer)
        expect(checksum.verify(frame, ip, message)).toBe(true)
        expect(icmp.type(frame, message)).toBe(icmp.Type.echoReply)
        expect(checksum.verify(frame, message, frame.length)).toBe(true)
        expect(hex(frame.subarray(message + 4))).toBe(`12340007${hex(data)}`)
      })
    })
  }
})
