/** What the tests of the option `filter` send, and the wire. */
import { PacketQueue } from 'ibverbs/ethernet'
import { afterEach, beforeEach } from 'vitest'
import { ip, type VethPair, vethPair } from '../beds/veth.js'
import { frames as list } from '../capture/filters.js'
import { ethernet, ipv4, udp } from '../cli/frames.js'

export const frames = list.map(({ bytes }) => bytes)
export const hex = (frame: Uint8Array) => Buffer.from(frame).toString('hex')
export const tagged = (inner: Buffer, tag = '8100 0005') =>
  Buffer.concat([inner.subarray(0, 12), Buffer.from(tag.replace(' ', ''), 'hex'), inner.subarray(12)])
export const query = ethernet('0800', ipv4(17, udp(4000, 53, Buffer.alloc(4))))

/** A veth pair with a sender on its end `a`, for each test. */
export function useFilterWire(): { veth: VethPair; sender: PacketQueue } {
  const wire = {} as { veth: VethPair; sender: PacketQueue }
  beforeEach(() => {
    wire.veth = vethPair()
    // tcpdump does not ask for a netmask, whatever pcap-filter(7) says of 'ip broadcast'.
    ip('addr', 'add', '10.1.2.9/24', 'dev', wire.veth.b)
    wire.sender = PacketQueue.open(wire.veth.a, { frameCount: 512 })
  })
  afterEach(() => {
    wire.sender.close()
    wire.veth.remove()
  })
  return wire
}
