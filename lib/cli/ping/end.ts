/** One end of a ping: queue pair, memory, and the ping-pong on them. */
import {
  bestGid,
  type CompletionQueue,
  type Context,
  type Endpoint,
  gidKind,
  type ProtectionDomain,
  type QueuePair,
} from '../../index.js'
import { UsageError } from '../usage.js'
import type { Destination } from './exchange.js'
import { type LoopResult, PingPong, type Stamp } from './loop.js'

export interface PingSettings {
  /** Undefined on the server. */
  host: string | undefined
  port: number
  type: 'rc' | 'uc' | 'ud'
  device: string | undefined
  devicePort: number
  gidIndex: number | undefined
  size: number
  iterations: number
  warmup: number
  mtu: number
  depth: number
  events: boolean
  /** Whose clock measures: this program's, or the device's. */
  timestamps: 'software' | 'hardware'
  /** Milliseconds. */
  timeout: number
  /** Milliseconds between two turns of the event loop while it polls. */
  yieldInterval: number
  json: boolean
}

// The Q_Key of rdma-core's ibv_ud_pingpong.
const queueKey = 0x11111111
/** Bytes before a UD message in its receive buffer, for the global route header (ibv_post_recv(3)). */
const globalRouteHeader = 40

const types = { rc: 'RC', uc: 'UC', ud: 'UD' } as const

/** Refuses settings that the port cannot serve, before anything connects. */
export function checkPort(context: Context, settings: PingSettings): void {
  const { portCount, name } = context
  if (settings.devicePort > portCount) {
    throw new UsageError(
      `--ib-port ${settings.devicePort}: ${name} has ${portCount} port${portCount === 1 ? '' : 's'}`,
    )
  }
  const { gidIndex, devicePort } = settings
  if (gidIndex !== undefined) {
    const there = context.queryGidTable().flatMap(({ port, index }) => (port === devicePort ? [index] : []))
    if (!there.includes(gidIndex)) {
      throw new UsageError(
        `--gid-index ${gidIndex}: port ${devicePort} of ${name} has no GID at index ${gidIndex}: there are ${there.join(', ') || 'none'}`,
      )
    }
  }
  const { state, activeMtu } = context.queryPort(settings.devicePort)
  if (state !== 'ACTIVE') {
    throw new Error(
      `port ${settings.devicePort} of ${context.name} is ${state}, not ACTIVE: see 'ibverbs doctor'`,
    )
  }
  if (settings.type === 'ud' && settings.size > activeMtu) {
    throw new UsageError(
      `--size ${settings.size} is more than a datagram holds: the port's MTU is ${activeMtu}`,
    )
  }
  if (settings.type !== 'ud' && settings.mtu > activeMtu) {
    throw new UsageError(`--mtu ${settings.mtu} is more than the port has: ${activeMtu}`)
  }
}

export class PingEnd {
  /** This end's address, which the peer needs. */
  readonly destination: Destination
  /** Path MTU in bytes. */
  readonly mtu: number
  readonly #domain: ProtectionDomain
  readonly #queuePair: QueuePair
  readonly #pingPong: PingPong
  readonly #settings: PingSettings
  readonly #ethernet: boolean
  readonly #prepare: (peer: Endpoint) => void

  /**
   * Ready to receive, not yet connected.
   *
   * @param completionQueue with room for `depth` + 1 completions
   * @param peerGid if known already, selects a GID of the same kind
   * @param stamp the device's clock, where it is to measure
   */
  constructor(
    context: Context,
    completionQueue: CompletionQueue,
    settings: PingSettings,
    signal: AbortSignal,
    { peerGid, stamp }: { peerGid?: string; stamp?: Stamp } = {},
  ) {
    const { type, size, depth, devicePort } = settings
    const datagram = type === 'ud'
    const port = context.queryPort(devicePort)
    this.#settings = settings
    this.#ethernet = port.linkLayer === 'Ethernet'
    this.mtu = datagram ? port.activeMtu : settings.mtu

    const domain = context.allocateProtectionDomain()
    this.#domain = domain
    const gidIndex =
      settings.gidIndex ??
      (peerGid === undefined
        ? undefined
        : bestGid(context.queryGidTable(), devicePort, gidKind(peerGid))?.index)
    const queuePair = domain.createQueuePair({
      type: types[type],
      cq: completionQueue,
      maxSendWr: 1,
      maxReceiveWr: depth,
      port: devicePort,
      gidIndex,
      ...(datagram ? { queueKey } : {}),
    })
    const { lid, queuePairNumber, packetSequenceNumber, gid } = queuePair.endpoint
    this.destination = { lid, queuePairNumber, packetSequenceNumber, gid: gid === '::' ? null : gid }
    // The peer needs send permission only; a UC or UD peer cannot use any other.
    queuePair.initialize(datagram ? {} : { access: [] })

    // Message and receive buffer are adjacent, so an arriving message never overwrites the one to send.
    const receiveSize = size + (datagram ? globalRouteHeader : 0)
    const memory = domain.registerMemory(receiveSize + size)
    memory.bytes.fill(0x7b)
    this.#queuePair = queuePair
    this.#pingPong = new PingPong({
      queuePair,
      completionQueue,
      receive: queuePair.prepareReceive({ memory }),
      receiveOffset: 0,
      receiveSize,
      sendOffset: receiveSize,
      size,
      depth,
      iterations: settings.iterations,
      warmup: settings.warmup,
      client: settings.host !== undefined,
      events: settings.events,
      timeout: settings.timeout,
      yieldInterval: settings.yieldInterval,
      stamp,
      signal,
    })
    this.#prepare = (peer) => {
      this.#pingPong.send = queuePair.prepareSend({
        memory,
        inline: size <= queuePair.capabilities.maxInline,
        ...(datagram
          ? {
              addressHandle: domain.createAddressHandle({
                gid: peer.gid,
                lid: peer.lid,
                port: devicePort,
                gidIndex: queuePair.gidIndex,
              }),
              remoteQueuePair: peer.queuePairNumber,
              remoteQueueKey: queueKey,
            }
          : {}),
      })
    }
  }

  /** Connects, ready to send: INIT → RTR → RTS. */
  connect(remote: Destination): void {
    if (remote.gid === null && this.#ethernet) {
      throw new Error(
        "the peer has no GID, and Ethernet routes by nothing else: give it -g INDEX (see 'ibverbs devices')",
      )
    }
    const { lid, queuePairNumber, packetSequenceNumber } = remote
    const { type, mtu } = this.#settings
    const peer: Endpoint = {
      version: 1,
      type: types[type],
      queuePairNumber,
      packetSequenceNumber,
      gid: remote.gid ?? '::',
      lid,
      mtu: this.mtu,
      ...(type === 'ud' ? { queueKey } : {}),
    }
    if (type === 'ud') this.#queuePair.connect()
    else this.#queuePair.connect(peer, { pathMtu: mtu, access: [] })
    this.#prepare(peer)
  }

  run(): Promise<LoopResult> {
    return this.#pingPong.run()
  }

  /** Releases all but the completion queue. */
  close(): void {
    this.#domain.close()
  }
}
