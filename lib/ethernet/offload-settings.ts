/** What a device, or the kernel for it, does to received frames before anybody sees them (ethtool -k). */
import { native } from '../native.js'

/** ETH_FLAG_*, linux/ethtool.h */
const Flag = { receiveVlan: 1 << 8, largeReceive: 1 << 15 } as const

/** Whether the device takes 802.1Q tags out of frames (rx-vlan-offload). */
export function takesTagsOut(name: string): boolean {
  const flags = native.ethernet.ethtool.flags(name)
  // A device whose driver does not tell has none of it.
  return flags >= 0 && (flags & Flag.receiveVlan) !== 0
}
