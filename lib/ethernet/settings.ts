import {
  boolean,
  instance,
  integer,
  oneOf,
  options as optionsOf,
  rangeError,
  string,
  typeError,
} from '../argument.js'
import { filterArgument } from '../filter/compile.js'
import { type Alternative, ofType } from '../flow/alternative.js'
import { flowsArgument } from '../flow/normalize.js'
import { groupArgument } from '../headers/mac.js'
import { maxGroups } from './af-packet/accept.js'
import { type FanoutOptions, fanoutArgument } from './af-packet/fanout.js'
import { FramePool } from './frames.js'
import type { NetworkInterface } from './interface/interfaces.js'
import { type PacketQueueOptions, packetQueueOptionNames } from './options.js'
import { type PortOption, type UnsupportedOption, unsupportedOption } from './port-options.js'
import { type RdmaPort, usualOfDevice } from './raw-packet/rdma-port.js'
import type { PacketBackend, ReceivePath } from './report.js'

/** The options, checked and with their defaults. */
export interface Settings {
  frames: FramePool
  batch: number
  /** undefined: any */
  backend: PacketBackend | undefined
  /** whether the caller named the backend */
  named: boolean
  exclusive: boolean
  queueId: number | 'all' | undefined
  /** the RDMA port that the caller named; undefined: the one behind the interface */
  rdma: RdmaPort | undefined
  /** the RDMA device that the caller named */
  device: string | undefined
  transmitChecksum: boolean
  /** of each backend: the requested number, or its default */
  receiveFrames: Record<PacketBackend, number>
  busyPoll: number
  /** from the flow rules and the EtherType; undefined: every frame */
  flows: Alternative[] | undefined
  /** undefined: every frame */
  filter: string | undefined
  /** from the steering rules */
  steer: Alternative[] | undefined
  /** undefined: unchanged */
  channels: number | undefined
  promiscuous: boolean
  allMulticast: boolean
  groups: Uint8Array[]
  outgoing: boolean
  /** undefined: none */
  fanout: Required<FanoutOptions> | undefined
  /** undefined: none */
  timestamps: 'software' | 'hardware' | undefined
  stripVlan: boolean
  /** frames of a buffer that several frames share; true: as many as are good; false: none does */
  striding: boolean | number
  transmitOnly: boolean
  /** undefined: any */
  receivePath: ReceivePath | undefined
  /** undefined: the default */
  receiveBuffer: number | undefined
  sendBuffer: number
}

/** XDP_PACKET_HEADROOM, linux/bpf.h: bytes that the kernel keeps free before each AF_XDP frame. */
export const packetHeadroom = 256
/** Ethernet header, one VLAN tag */
const overhead = 14 + 4

/** @param rdma the RDMA port that the caller named instead of an interface */
export function settingsOf(
  networkInterface: NetworkInterface,
  given: PacketQueueOptions | undefined,
  rdma?: RdmaPort,
): Settings {
  const options = optionsOf('options', given, packetQueueOptionNames)
  if (options.backend !== undefined) oneOf('options.backend', options.backend, packetBackends)
  const { backend = rdma && usualOfDevice(rdma.rdmaDevice) } = options
  const raw = rawOptions(options, backend, rdma)
  const {
    exclusive = false,
    queueId,
    busyPoll = 0,
    etherType,
    promiscuous = false,
    multicast = [],
    outgoing = false,
    timestamps = false,
    stripVlan = false,
    striding = false,
    transmitOnly = false,
    receiveBuffer,
    receivePath,
    sendBuffer = 0,
  } = options
  boolean('options.exclusive', exclusive)
  boolean('options.promiscuous', promiscuous)
  boolean('options.outgoing', outgoing)
  boolean('options.stripVlan', stripVlan)
  if (typeof striding !== 'boolean') {
    integer('options.striding', striding, 2, 2 ** 16)
    if (!Number.isInteger(Math.log2(striding)))
      throw rangeError('options.striding', 'a power of two', striding)
  }
  if (striding !== false && transmitOnly) {
    throw typeError('options.striding', 'left out where "options.transmitOnly" is true', striding)
  }
  if (typeof timestamps !== 'boolean') oneOf('options.timestamps', timestamps, ['software', 'hardware'])
  if (timestamps && timestamps !== 'hardware' && backend === 'mlx5') {
    throw typeError(
      'options.timestamps',
      "'hardware' with backend: 'mlx5', whose frames pass by the kernel",
      timestamps,
    )
  }
  if (receivePath !== undefined) oneOf('options.receivePath', receivePath, ['ring', 'recvmmsg'])
  boolean('options.transmitOnly', transmitOnly)
  if (receiveBuffer !== undefined) integer('options.receiveBuffer', receiveBuffer, 0, 2 ** 30)
  integer('options.sendBuffer', sendBuffer, 0, 2 ** 30)
  if (etherType !== undefined) integer('options.etherType', etherType, 0x0600, 0xffff)
  const rules = options.flows === undefined ? undefined : flowsArgument('options.flows', options.flows)
  if (rules && transmitOnly) {
    throw typeError('options.flows', 'left out where "options.transmitOnly" is true', options.flows)
  }
  const filter = options.filter === undefined ? undefined : filterArgument('options.filter', options.filter)
  if (filter !== undefined && transmitOnly) {
    throw typeError('options.filter', 'left out where "options.transmitOnly" is true', options.filter)
  }
  const flows = etherType === undefined ? rules : ofType(rules, etherType, 'options.etherType')
  if (flows?.length === 0) {
    throw rangeError('options.etherType', 'a type that one of "options.flows" lets in', etherType)
  }
  const fanout = options.fanout === undefined ? undefined : fanoutArgument('options.fanout', options.fanout)
  if (fanout && transmitOnly) {
    throw typeError('options.fanout', 'left out where "options.transmitOnly" is true', options.fanout)
  }
  const steer = options.steer === undefined ? undefined : flowsArgument('options.steer', options.steer)
  if (steer && (transmitOnly || queueId === 'all')) {
    throw typeError(
      'options.steer',
      'left out where "options.queueId" is \'all\' or "options.transmitOnly" is true',
      options.steer,
    )
  }
  if (options.channels !== undefined) integer('options.channels', options.channels, 1, 4096)
  if (multicast !== 'all' && !Array.isArray(multicast)) {
    throw typeError('options.multicast', "an array of group addresses or 'all'", multicast)
  }
  const groups =
    multicast === 'all' ? [] : multicast.map((mac, i) => groupArgument(`options.multicast[${i}]`, mac))
  if (groups.length > maxGroups) {
    throw rangeError('options.multicast', `at most ${maxGroups} groups, or 'all'`, groups.length)
  }
  if (options.batch !== undefined) integer('options.batch', options.batch, 1, 1024)
  if (queueId !== undefined && queueId !== 'all') queueIdArgument(queueId)
  integer('options.busyPoll', busyPoll, 0, 1e6)
  const xdp = backend === 'af_xdp' || (backend === undefined && exclusive)
  const unsupported = unsupportedByAll(options, backend, xdp)
  if (unsupported) throw typeError(`options.${unsupported.option}`, unsupported.expected, unsupported.value)
  const frames = framesOf(networkInterface, options, xdp)
  const half = Math.floor(frames.frameCount / 2)
  if (options.batch !== undefined && options.batch > half) {
    throw rangeError('options.batch', `at most half of the ${frames.frameCount} frames`, options.batch)
  }
  const batch = options.batch ?? Math.min(64, half)
  if (options.receiveFrames !== undefined) {
    integer('options.receiveFrames', options.receiveFrames, batch, frames.frameCount)
  }
  return {
    frames,
    batch,
    backend,
    named: options.backend !== undefined,
    exclusive,
    queueId,
    ...raw,
    receiveFrames: {
      af_packet: options.receiveFrames ?? batch,
      af_xdp: options.receiveFrames ?? half,
      raw_packet_qp: options.receiveFrames ?? half,
      mlx5: options.receiveFrames ?? half,
    },
    busyPoll,
    flows,
    filter,
    steer,
    channels: options.channels,
    promiscuous,
    allMulticast: multicast === 'all',
    groups,
    outgoing: outgoing && !networkInterface.loopback,
    fanout,
    timestamps: timestamps === true ? 'software' : timestamps || undefined,
    stripVlan,
    striding,
    transmitOnly,
    receivePath,
    receiveBuffer,
    sendBuffer,
  }
}

/**
 * An option that none of the ports that could be chosen supports. `exclusive` can choose either AF_XDP, or AF_PACKET when
 * another option rules AF_XDP out (open.ts).
 */
function unsupportedByAll(
  options: PacketQueueOptions,
  backend: PacketBackend | undefined,
  xdp: boolean,
): UnsupportedOption | undefined {
  const ofPorts: Pick<PacketQueueOptions, PortOption> = options
  const unsupported = unsupportedOption(ofPorts, backend ?? 'af_packet')
  return unsupported && backend === undefined && xdp ? unsupportedOption(ofPorts, 'af_xdp') : unsupported
}

const packetBackends = ['af_packet', 'af_xdp', 'raw_packet_qp', 'mlx5'] as const satisfies PacketBackend[]

/** The options of raw packet queue pairs alone. */
function rawOptions(
  options: PacketQueueOptions,
  backend: PacketBackend | undefined,
  rdma: RdmaPort | undefined,
): Pick<Settings, 'rdma' | 'device' | 'transmitChecksum'> {
  const { device, port, mtu, transmitChecksum = false } = options
  if (device !== undefined) string('options.device', device)
  if (port !== undefined) integer('options.port', port, 1, 255)
  if (mtu !== undefined) integer('options.mtu', mtu, 68, 65535)
  boolean('options.transmitChecksum', transmitChecksum)
  const ofDevice = backend === 'raw_packet_qp' || backend === 'mlx5'
  if (rdma && !ofDevice) {
    throw rangeError('options.backend', "'raw_packet_qp' or 'mlx5' for a port of an RDMA device", backend)
  }
  if (mtu !== undefined && ofDevice && !rdma) {
    throw typeError('options.mtu', 'left out: the interface has one', mtu)
  }
  if (device !== undefined && rdma) throw typeError('options.device', 'left out: the name says it', device)
  if (port !== undefined && device === undefined && !rdma && ofDevice) {
    throw typeError('options.port', 'left out where "options.device" is', port)
  }
  return {
    rdma: rdma ?? (device && port ? { rdmaDevice: device, port } : undefined),
    device,
    transmitChecksum,
  }
}

function queueIdArgument(queueId: unknown): void {
  if (typeof queueId !== 'number') throw typeError('options.queueId', "a number or 'all'", queueId)
  integer('options.queueId', queueId, 0, 4095)
}

function framesOf(networkInterface: NetworkInterface, options: PacketQueueOptions, xdp: boolean): FramePool {
  const { frames, arena, frameCount, headroom } = options
  if (frames === undefined) {
    const room = typeof headroom === 'number' ? headroom : 0
    const needed = networkInterface.mtu + overhead + (xdp ? Math.max(room, packetHeadroom) : room)
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
