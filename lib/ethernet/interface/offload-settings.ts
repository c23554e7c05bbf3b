/** What a device, or the kernel for it, does to received frames before a socket receives them (ethtool -k). */
import { native } from '../../native.js'
import type { WayReport } from '../report.js'

/** ETH_FLAG_*, linux/ethtool.h */
const Flag = { receiveVlan: 1 << 8 } as const
/**
 * Drivers of devices whose other end is a kernel, this one or a hypervisor's: that kernel leaves its offloads to a
 * device that does not exist.
 */
const virtual = ['veth', 'virtio_net', 'tun']

/** Whether the device strips 802.1Q tags (rx-vlan-offload). */
export function takesTagsOut(name: string): boolean {
  const flags = native.ethernet.ethtool.flags(name)
  // A device whose driver does not report flags strips no tags.
  return flags >= 0 && (flags & Flag.receiveVlan) !== 0
}

/** The metadata of a device's frames that an XDP program, and therefore AF_XDP, does not get. */
export function untoldOf(name: string, mode: 'native' | 'generic'): WayReport['untold'] {
  const untold: WayReport['untold'][number][] = []
  if (mode === 'generic') {
    untold.push({
      what: 'super-frames: segments of a connection in one frame, longer than the MTU, or cut at the frame size',
      when: 'the kernel puts segments together (GRO), or a sender on this machine leaves the cutting to the device (TSO, GSO)',
      ends: `ethtool -K ${name} gro off lro off; of a veth's other end: tso off gso off tx-udp-segmentation off`,
    })
  }
  if (mode === 'generic' || virtual.includes(native.ethernet.ethtool.driver(name))) {
    untold.push({
      what: "partial checksums: of TCP and UDP, the pseudo-header's sum alone",
      when: 'the sender is a kernel on this machine, or its hypervisor, and leaves the sum to the device',
      ends: 'ethtool -K NAME tx off, of the interface that sends',
    })
  }
  if (takesTagsOut(name)) {
    untold.push({
      what: 'VLAN tags',
      when: 'the device takes them out of frames, or a VLAN device at the other end of a veth leaves them out',
      ends: `ethtool -K ${name} rxvlan off; of a veth's other end: txvlan off`,
    })
  }
  return untold
}
