import type { RingWords } from '../ring/ring.js'

/** A network interface as binding/ethernet/interfaces.cc reports it. */
export interface NativeInterface {
  name: string
  index: number
  /** ARPHRD_*, net/if_arp.h */
  type: number
  /** IFF_*, net/if.h */
  flags: number
  mtu: number
  mac: Uint8Array
}

/** What binding/ethernet/packet_socket.cc needs to open. */
export interface PacketSocketOptions {
  interfaceIndex: number
  /** EtherType in host order; 0 receives nothing */
  protocol: number
  batch: number
  frameSize: number
  headroom: number
  outgoing: boolean
  timestamps: boolean
  receiveBuffer: number
  sendBuffer: number
  filter: Uint32Array
  arena: Uint8Array
  frames: Uint32Array
  fill: RingWords
  receive: RingWords
  transmit: RingWords
  completion: RingWords
  onEvent(): void
}

/** What binding/ethernet/ exports. */
export interface EthernetNative {
  open(options: PacketSocketOptions): number
  receive(handle: number): number
  transmit(handle: number): number
  arm(handle: number, readable: boolean, writable: boolean, referenced: boolean): void
  disarm(handle: number): void
  membership(handle: number, add: boolean, type: number, address?: Uint8Array): void
  filter(handle: number, program: Uint32Array): void
  statistics(handle: number): { received: number; dropped: number }
  bufferSizes(handle: number): { receive: number; send: number }
  interfaces(): NativeInterface[]
}

/** What binding/ethernet/netlink.cc exports. */
export interface NetlinkNative {
  /** @param groups RTMGRP_* bits; `onEvent` is called until what is there was received */
  open(groups: number, onEvent?: () => void): number
  send(handle: number, message: Uint8Array): void
  /** A datagram of the kernel's, null when there is none. */
  receive(handle: number): Uint8Array | null
}
