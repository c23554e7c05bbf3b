/**
 * The kernel's own VLAN, VXLAN and GRE devices over one end of a veth pair, whose other end belongs to a packet queue.
 * They exist in the VM (tests/beds/vm), whose kernel has the modules.
 */

import { readFileSync, writeFileSync } from 'node:fs'
import { execFileSync } from '../../beds/child.js'
import { awaitRunning } from '../../beds/veth.js'

export const ours = { interface: 'kd0', mac: '02:00:00:00:0a:00', address: '192.0.2.2' }
export const theirs = { interface: 'kd1', mac: '02:00:00:00:0b:00', address: '192.0.2.1' }

export const vlanId = 100
export const serviceVlanId = 200
export const customerVlanId = 300
export const vxlanIdentifier = 4242
export const greKey = 0x01020304

/** Each device is the kernel's end of a network 10.0.N.0/24: it has .1, and our end has .2. */
export const networks = {
  vlan: { device: 'kd1.100', address: '10.0.1.1', peer: '10.0.1.2' },
  qinq: { device: 'kdcust', address: '10.0.2.1', peer: '10.0.2.2' },
  vxlan: { device: 'kdvxlan', address: '10.0.3.1', peer: '10.0.3.2' },
  gretap: { device: 'kdgretap', address: '10.0.4.1', peer: '10.0.4.2' },
  gre: { device: 'kdgre', address: '10.0.5.1', peer: '10.0.5.2' },
}
export type NetworkName = keyof typeof networks

/** The tunnelled Ethernet addresses: the kernel's end, and ours. */
export const innerMac = { theirs: '02:00:00:00:0b:01', ours: '02:00:00:00:0a:01' }

function ip(lines: string[]): void {
  execFileSync('ip', ['-batch', '-'], {
    input: `${lines.join('\n')}\n`,
    stdio: ['pipe', 'ignore', 'pipe'],
    encoding: 'utf8',
  })
}

/** Makes all devices. Without IPv6, and with permanent neighbours: only the test's own frames are on the wire. */
export function makeDevices(): void {
  const before = readFileSync(noIpv6, 'utf8')
  writeFileSync(noIpv6, '1')
  try {
    addDevices()
  } finally {
    writeFileSync(noIpv6, before)
  }
  for (const name of [ours.interface, theirs.interface]) awaitRunning(name)
}

/** Whether new interfaces get no IPv6. */
const noIpv6 = '/proc/sys/net/ipv6/conf/default/disable_ipv6'

function addDevices(): void {
  const wire = 'numtxqueues 1 numrxqueues 1'
  const ends = `local ${theirs.address} remote ${ours.address}`
  ip([
    `link add ${ours.interface} address ${ours.mac} ${wire} type veth peer name ${theirs.interface} address ${theirs.mac} ${wire}`,
    `link add link ${theirs.interface} name ${networks.vlan.device} type vlan id ${vlanId}`,
    `link add link ${theirs.interface} name kdservice type vlan proto 802.1ad id ${serviceVlanId}`,
    `link add link kdservice name ${networks.qinq.device} type vlan id ${customerVlanId}`,
    `link add ${networks.vxlan.device} address ${innerMac.theirs} type vxlan id ${vxlanIdentifier} ${ends} dev ${theirs.interface} dstport 4789`,
    `link add ${networks.gretap.device} address ${innerMac.theirs} type gretap ${ends} key ${greKey} seq csum`,
    `link add ${networks.gre.device} type gre ${ends}`,
    `address add ${theirs.address}/24 dev ${theirs.interface}`,
    ...Object.values(networks).map(({ device, address }) => `address add ${address}/24 dev ${device}`),
    ...[ours.interface, theirs.interface, 'kdservice'].map((name) => `link set ${name} up`),
    ...Object.values(networks).map(({ device }) => `link set ${device} up`),
    `neighbour add ${ours.address} lladdr ${ours.mac} dev ${theirs.interface}`,
    ...[networks.vlan, networks.qinq].map(
      ({ device, peer }) => `neighbour add ${peer} lladdr ${ours.mac} dev ${device}`,
    ),
    ...[networks.vxlan, networks.gretap].map(
      ({ device, peer }) => `neighbour add ${peer} lladdr ${innerMac.ours} dev ${device}`,
    ),
  ])
}

/** Removes all devices. */
export function removeDevices(): void {
  ip([
    ...[networks.vxlan, networks.gretap, networks.gre].map(({ device }) => `link del ${device}`),
    `link del ${ours.interface}`, // its other end, and the VLANs on it, go too
  ])
}
