import type { RingLayout, RingWords } from '../ring/ring.js'
import type { XdpStatistics } from './statistics.js'

/** A network interface as binding/ethernet/interface/interfaces.cc reports it. */
export interface NativeInterface {
  name: string
  index: number
  /** ARPHRD_*, net/if_arp.h */
  type: number
  /** IFF_*, net/if.h and linux/if.h */
  flags: number
  mtu: number
  mac: Uint8Array
}

/** An arena cut into frames (binding/ethernet/arena_frames.h). */
export interface ArenaFrames {
  arena: Uint8Array
  /** the records, as many as there are frames */
  frames: Uint32Array
  frameSize: number
  headroom: number
}

/** The arguments of binding/ethernet/af_packet/socket.cc's open. */
export interface PacketSocketOptions extends ArenaFrames {
  interfaceIndex: number
  batch: number
  outgoing: boolean
  transmitOnly: boolean
  receiveBuffer: number
  sendBuffer: number
  filter: Uint32Array
  fill: RingWords
  receive: RingWords
  transmit: RingWords
  onEvent(): void
}

/** The arguments of binding/ethernet/af_xdp/socket.cc's open. */
export interface XdpSocketOptions extends ArenaFrames {
  interfaceIndex: number
  /** chunk_size and headroom of struct xdp_umem_reg */
  chunkSize: number
  chunkHeadroom: number
  sendBuffer: number
  fillEntries: number
  /** 0: never receives */
  receiveEntries: number
  transmitEntries: number
  completionEntries: number
  onEvent(): void
}

/** A mapped ring of the kernel's, and the place of its flags. */
export interface XdpRing {
  words: RingWords
  flags: number
  layout: RingLayout
}

/** Another socket's registration of an arena, and its bind mode. */
export interface XdpSharing {
  shared: boolean
  zeroCopy: boolean
  fragments: boolean
}

/**
 * The exports of binding/ethernet/af_xdp/af_xdp.cc. A function that returns a number returns a negative errno when it
 * fails.
 */
export interface XdpNative {
  open(options: XdpSocketOptions): number
  rings(handle: number): { fill: XdpRing; receive?: XdpRing; transmit: XdpRing; completion: XdpRing }
  registerMemory(handle: number): void
  sharing(handle: number): XdpSharing
  bindShared(handle: number, queue: number): XdpSharing & { status: number }
  bind(handle: number, queue: number, flags: number): number
  option(handle: number, level: number, name: number, value: number): number
  joinProgram(handle: number): number
  /** `mode` and `fragments` of the result are those of the attached program */
  attach(
    handle: number,
    program: Uint32Array,
    queue: number,
    fragments: boolean,
    mode: number,
  ): { status: number; mode: number; fragments: boolean }
  replace(handle: number, program: Uint32Array): number
  membership(handle: number, add: boolean, type: number, address?: Uint8Array): void
  /** {@link Bell}: sendto(2) without bytes */
  transmitBell(handle: number, mailbox: Int32Array): () => void
  receive(handle: number): number
  arm(handle: number, readable: boolean, writable: boolean, referenced: boolean): void
  disarm(handle: number): void
  zeroCopy(handle: number): boolean
  statistics(handle: number): XdpStatistics
  sendBuffer(handle: number): number
  /** `link`: of the BPF link that holds it; 0 for a program attached by netlink, and where this process may not know */
  attached(interfaceIndex: number): { id: number; name: string; mode: number; link: number } | null
  /** the NAPI instance of the last frame; 0: none */
  napi(handle: number): number
}

/** A count of each kind of a device's channels. */
export interface NativeChannels {
  receive: number
  transmit: number
  other: number
  combined: number
}

/**
 * The exports of binding/ethernet/interface/ethtool.cc. A function that returns a number, or a `status`, returns a
 * negative errno there when it fails.
 */
export interface EthtoolNative {
  driver(name: string): string
  /** ETH_FLAG_* */
  flags(name: string): number
  channels(name: string): NativeChannels & { status: number; most: NativeChannels }
  setChannels(name: string, receive: number, transmit: number, other: number, combined: number): number
  /** @returns its location */
  addRule(name: string, rule: Uint8Array): number
  removeRule(name: string, location: number): number
  ruleTable(name: string): { status: number; special: boolean; size: number; used: number[] }
}

/** The exports of binding/ethernet/interface/link_watch.cc. */
export interface LinkNative {
  /** @param onNews called on libuv's loop with what {@link look} returns */
  watch(interfaceIndex: number, onNews: (news: number) => void): number
  /** LinkWatch::News since the last look; 0: none */
  look(handle: number): number
  /** 1 with a carrier at this moment, plus 2 when frames go out; a negative errno for a link that is down or removed */
  state(handle: number): number
}

/** The arguments of binding/ethernet/raw_packet/queue.cc's open; `pair`, `region` and `overflow` are handles. */
export interface RawPacketOptions extends ArenaFrames {
  pair: number
  /** over the arena */
  region: number
  /** receives the rest of a frame that exceeds its place */
  overflow: number
  batch: number
  /** bytes of the longest frame that the device accepts, without a VLAN tag */
  longest: number
  sendDepth: number
  receiveDepth: number
  checksum: boolean
  own: Uint8Array
  fill: RingWords
  receive: RingWords
  transmit: RingWords
  completion: RingWords
}

/**
 * The exports of binding/ethernet/raw_packet/queue.cc. A function that returns a number returns a negative errno when
 * it fails.
 */
export interface RawPacketNative {
  open(options: RawPacketOptions): number
  /** A function that leaves in the mailbox how many frames were received, or a negative errno. */
  receiveBell(handle: number, mailbox: Int32Array): () => void
  /** What {@link receiveBell} does, without a look for frames. */
  replenish(handle: number): number
  /** A function that leaves 0 or a negative errno in the mailbox. */
  transmitBell(handle: number, mailbox: Int32Array): () => void
  /** @returns 1 when the queue is ready already */
  arm(handle: number, readable: number, writable: number): number
  /** `failure` is the ibv_wc_status of the first completion that failed */
  statistics(handle: number): { received: number; truncated: number; failure: number }
}

/** The exports of binding/ethernet/packet_filter.cc. */
export interface PcapNative {
  /** Four numbers an instruction, or libpcap's error message for the expression. */
  compile(expression: string, source: 'socket' | 'wire' | 'file', interfaceName: string): Uint32Array | string
  /** `error` is empty where libpcap is installed, and only then are the others set. */
  library(): { path: string; version: string; error: string }
}

/** The exports of binding/ethernet/. */
export interface EthernetNative {
  open(options: PacketSocketOptions): number
  /** a ring of about `bytes` bytes whose slots hold frames of `payload` bytes; throws, and the socket has none then */
  ring(handle: number, bytes: number, payload: number): RingWords
  timestamps(handle: number, hardware: boolean): void
  /** @param protocol EtherType; 0 receives nothing */
  bind(handle: number, protocol: number): void
  /** @param type with its flags; returns the group's number, or a negative errno */
  fanout(handle: number, group: number, type: number): number
  /**
   * A function that leaves in the mailbox how many frames were received, or a negative errno; and, with a ring, where the
   * next slot's status word lies in it, in words.
   */
  receiveBell(handle: number, mailbox: Int32Array): () => void
  /** A function that leaves 0 or a negative errno in the mailbox. */
  transmitBell(handle: number, mailbox: Int32Array): () => void
  arm(handle: number, readable: boolean, writable: boolean, referenced: boolean): void
  disarm(handle: number): void
  membership(handle: number, add: boolean, type: number, address?: Uint8Array): void
  filter(handle: number, program: Uint32Array): void
  statistics(handle: number): { received: number; truncated: number; dropped: number; undescribed: number }
  bufferSizes(handle: number): { receive: number; send: number }
  interfaces(): NativeInterface[]
  link: LinkNative
  xdp: XdpNative
  ethtool: EthtoolNative
  pcap: PcapNative
  raw: RawPacketNative
}

/** The exports of binding/ethernet/interface/netlink.cc. */
export interface NetlinkNative {
  /** @param groups RTMGRP_* bits; `onEvent` is called until every message is received */
  open(groups: number, onEvent?: () => void): number
  send(handle: number, message: Uint8Array): void
  /** A datagram from the kernel; null when there is none. */
  receive(handle: number): Uint8Array | null
}
