import type { RingWords } from '../ring/ring.js'
import type { DeviceAttributes, PortAttributes } from './device-attributes.js'
import type { QueuePairCapabilities } from './queue-pair/capabilities.js'

/** The exports of binding/verbs/. Handles are numbers; a closed or foreign one throws ERR_IBVERBS_CLOSED. */
export interface VerbsNative {
  listDevices(): NativeDevice[]
  libraryPath(): string | null
  openDevice(name: string): number
  queryDevice(context: number): NativeDeviceAttributes
  queryPort(context: number, port: number): NativePortAttributes
  queryPkey(context: number, port: number, index: number): number
  queryGidTable(context: number): NativeGidEntry[]
  referenceCompletions(context: number, on: boolean): void
  referenceEvents(context: number, on: boolean): void
  setDispatch(
    onCompletion: (queue: number) => void,
    onEvent: (context: number, type: number, subject: number) => void,
  ): void
  allocateProtectionDomain(context: number): number
  registerMemory(domain: number, bytes: Uint8Array, access: number, fromPage: boolean): NativeMemoryRegion
  createCompletionQueue(
    context: number,
    entries: number,
    batch: number,
    block: Uint32Array,
    stamped: boolean,
    domain?: number,
    memory?: Uint8Array<SharedArrayBuffer>,
    options?: { entryBytes: number; format: number; padded: number },
  ): { handle: number; entries: number; ring?: ArrayBuffer; lacking?: number }
  /** A function that leaves in the mailbox how many completions were polled, or a negative errno. */
  pollBell(queue: number, mailbox: Int32Array): () => void
  pollFor(queue: number, microseconds: number): number
  arm(queue: number, solicitedOnly: 0 | 1): void
  freeCredits(queue: number): number
  createQueuePair(
    domain: number,
    sendQueue: number,
    receiveQueue: number,
    options: NativeQueuePairOptions,
    rings: { control: Uint32Array; send: RingWords; receive: RingWords },
    memory?: Uint8Array<SharedArrayBuffer>,
    card?: { cardFlags: number; flags: number; maxTsoHeader: number },
  ): NativeQueuePairResult
  modifyQueuePair(pair: number, attributes: NativeQueuePairAttributes): void
  queryQueuePair(pair: number): NativeQueuePairState
  attachMulticast(pair: number, gid: string, lid: number): void
  detachMulticast(pair: number, gid: string, lid: number): void
  settled(pair: number): boolean
  /** A function that leaves in the control words how many requests the device accepted. */
  submitBell(pair: number, control: Uint32Array): () => void
  /** @param grh of the datagram; null where it has none */
  addressVectorOf(
    domain: number,
    port: number,
    path: number,
    grh: Uint8Array<SharedArrayBuffer> | null,
  ): NativeAddressVector
  createAddressHandle(domain: number, vector: NativeAddressVector): number
  /** @param rules struct ibv_flow_spec_*, one behind the other */
  createFlow(pair: number, rules: Uint8Array[], options: NativeFlowOptions): number
  /** {@link createFlow}, of mlx5's RSS queue pair. */
  createRssFlow(pair: number, rules: Uint8Array[], options: NativeFlowOptions): number
}

/** Members of struct ibv_flow_attr. */
export interface NativeFlowOptions {
  type: number
  priority: number
  port: number
  flags: number
}

export interface NativeDevice {
  name: string
  index: number
  guid: string
  nodeType: number
  transport: number
}

export interface NativeGidEntry {
  gid: string
  port: number
  index: number
  type: number
  netdevIndex: number
  netdev: string | null
}

export interface NativeMemoryRegion {
  handle: number
  lkey: number
  rkey: number
  address: bigint
}

export interface NativeQueuePairOptions extends QueuePairCapabilities {
  type: number
  /** Maximum bytes that the elements of a send may have together: below 2^31. */
  longestMessage: number
  /** Maximum bytes that one element of a receive states to the device: below 2^31. */
  longestReceive: number
}

export interface NativeQueuePairResult extends QueuePairCapabilities {
  /** 0: the memory for the device's rings is too small for `lacking` bytes. */
  handle: number
  lacking?: number
  number: number
}

export interface NativeAddressVector {
  port: number
  serviceLevel: number
  lid: number
  sourcePathBits: number
  staticRate: number
  gid?: string
  gidIndex?: number
  hopLimit?: number
  trafficClass?: number
  flowLabel?: number
}

export interface NativeQueuePairAttributes {
  state?: number
  currentState?: number
  access?: number
  pkeyIndex?: number
  port?: number
  qkey?: number
  addressVector?: NativeAddressVector
  pathMtu?: number
  timeout?: number
  retryCount?: number
  rnrRetry?: number
  rqPsn?: number
  sqPsn?: number
  maxRdAtomic?: number
  maxDestRdAtomic?: number
  minRnrTimer?: number
  destQpNum?: number
}

/** With the sizes of struct ibv_qp_cap. */
export interface NativeQueuePairState extends Required<NativeQueuePairAttributes> {
  sqDraining: number
  maxSendWr: number
  maxRecvWr: number
  maxSendSge: number
  maxRecvSge: number
  maxInlineData: number
}

/** The device's attributes with their enumerations as numbers. */
export type NativeDeviceAttributes = Omit<DeviceAttributes, 'atomicCap' | 'rawPacketCapabilities'> & {
  atomicCap: number
}

/** The port's attributes with their enumerations, and MTUs, as numbers of verbs.h. */
export type NativePortAttributes = Omit<PortAttributes, 'state' | 'physicalState' | 'linkLayer'> & {
  state: number
  physicalState: number
  linkLayer: number
}
