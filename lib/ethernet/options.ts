import {
  boolean,
  instance,
  integer,
  oneOf,
  options as optionsOf,
  rangeError,
  typeError,
} from '../argument.js'
import { maxGroups } from './accept.js'
import type { Alternative } from './flow/alternative.js'
import { flowsArgument } from './flow/normalize.js'
import type { FlowRule } from './flow/rule.js'
import { FramePool, type FramePoolOptions } from './frames.js'
import type { NetworkInterface } from './interfaces.js'
import { groupArgument, type MacAddress } from './mac.js'

/** The ways to a device that a {@link PacketQueue} has. */
export type PacketBackend = 'af_packet'

/** Options of {@link PacketQueue.open}. */
export interface PacketQueueOptions extends FramePoolOptions {
  /** Use this backend or fail. Default: the best that works. */
  backend?: PacketBackend
  /** Frames shared with other queues of this thread, instead of `arena`, `frameSize`, `frameCount`, `headroom`. */
  frames?: FramePool
  /**
   * Bytes a frame. Default: 2048, or the next power of two that holds a frame of the interface's MTU; longer frames
   * are cut ({@link FrameFlag.truncated}).
   */
  frameSize?: number
  /** Most frames a system call moves, 1 to 1024 and at most half of the frames. Default 64. */
  batch?: number
  /** Receive only frames of this EtherType, 0x0600 to 0xffff. Default: all. */
  etherType?: number
  /** Receive only frames that one of these rules matches, and no others. Default: all. Left out with `transmitOnly`. */
  flows?: readonly FlowRule[]
  /** Receive frames to other stations too (PACKET_MR_PROMISC; packet(7)). Default false. */
  promiscuous?: boolean
  /** Groups to receive, or 'all' (PACKET_MR_ALLMULTI). Default none. Broadcast is always received. */
  multicast?: readonly MacAddress[] | 'all'
  /** Receive also what others on this machine send through the interface, as tcpdump shows it. Default false. */
  outgoing?: boolean
  /** Have the kernel stamp each received frame with the time it came (SO_TIMESTAMPNS). Default false. */
  timestamps?: boolean
  /** Never receive: saves the kernel the work of queueing frames that nobody will read. Default false. */
  transmitOnly?: boolean
  /**
   * Bytes that the kernel may queue until {@link PacketQueue.receive} comes (SO_RCVBUF; a 64-byte frame takes about
   * 800). More than net.core.rmem_max takes CAP_NET_ADMIN; without it the limit applies. Default 16 MiB.
   */
  receiveBuffer?: number
  /** Bytes under way to the device before {@link PacketQueue.submit} accepts no more (SO_SNDBUF). Default: system's. */
  sendBuffer?: number
}

/** The options, checked and with their defaults. */
export interface Settings {
  frames: FramePool
  batch: number
  /** in host order; 3 (ETH_P_ALL) is every one, 0 none */
  protocol: number
  /** of the flow rules; undefined: every frame */
  flows: Alternative[] | undefined
  promiscuous: boolean
  allMulticast: boolean
  groups: Uint8Array[]
  outgoing: boolean
  timestamps: boolean
  transmitOnly: boolean
  receiveBuffer: number
  sendBuffer: number
}

const everyProtocol = 3
/** Ethernet header, one VLAN tag */
const overhead = 14 + 4

export function settingsOf(device: NetworkInterface, given: PacketQueueOptions | undefined): Settings {
  const options = optionsOf('options', given)
  if (options.backend !== undefined) oneOf('options.backend', options.backend, ['af_packet'])
  const {
    etherType,
    promiscuous = false,
    multicast = [],
    outgoing = false,
    timestamps = false,
    transmitOnly = false,
    receiveBuffer = 2 ** 24,
    sendBuffer = 0,
  } = options
  boolean('options.promiscuous', promiscuous)
  boolean('options.outgoing', outgoing)
  boolean('options.timestamps', timestamps)
  boolean('options.transmitOnly', transmitOnly)
  integer('options.receiveBuffer', receiveBuffer, 0, 2 ** 30)
  integer('options.sendBuffer', sendBuffer, 0, 2 ** 30)
  if (etherType !== undefined) integer('options.etherType', etherType, 0x0600, 0xffff)
  const flows = options.flows === undefined ? undefined : flowsArgument('options.flows', options.flows)
  if (flows && transmitOnly) {
    throw typeError('options.flows', 'left out where "options.transmitOnly" is true', options.flows)
  }
  if (multicast !== 'all' && !Array.isArray(multicast)) {
    throw typeError('options.multicast', "an array of group addresses or 'all'", multicast)
  }
  const groups =
    multicast === 'all' ? [] : multicast.map((mac, i) => groupArgument(`options.multicast[${i}]`, mac))
  if (groups.length > maxGroups) {
    throw rangeError('options.multicast', `at most ${maxGroups} groups, or 'all'`, groups.length)
  }
  if (options.batch !== undefined) integer('options.batch', options.batch, 1, 1024)
  const frames = framesOf(device, options)
  const half = Math.floor(frames.frameCount / 2)
  if (options.batch !== undefined && options.batch > half) {
    throw rangeError('options.batch', `at most half of the ${frames.frameCount} frames`, options.batch)
  }
  return {
    frames,
    batch: options.batch ?? Math.min(64, half),
    protocol: transmitOnly ? 0 : (etherType ?? everyProtocol),
    flows,
    promiscuous,
    allMulticast: multicast === 'all',
    groups,
    outgoing,
    timestamps,
    transmitOnly,
    receiveBuffer,
    sendBuffer,
  }
}

function framesOf(device: NetworkInterface, options: PacketQueueOptions): FramePool {
  const { frames, arena, frameCount, headroom } = options
  if (frames === undefined) {
    const needed = device.mtu + overhead + (typeof headroom === 'number' ? headroom : 0)
    const roomy = Math.min(131072, Math.max(2048, 2 ** Math.ceil(Math.log2(needed))))
    return new FramePool({
      arena,
      frameCount,
      headroom,
      frameSize: options.frameSize === undefined ? roomy : options.frameSize,
    })
  }
  instance('options.frames', frames, FramePool)
  for (const name of ['arena', 'frameSize', 'frameCount', 'headroom'] as const) {
    if (options[name] !== undefined) {
      throw typeError(`options.${name}`, 'left out where "options.frames" is given', options[name])
    }
  }
  return frames
}
