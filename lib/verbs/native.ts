/** What binding/verbs/ exports. Handles are numbers; a closed or foreign one throws ERR_IBVERBS_CLOSED. */
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
  registerMemory(domain: number, bytes: Uint8Array, access: number): NativeMemoryRegion
  createCompletionQueue(
    context: number,
    entries: number,
    batch: number,
    block: Uint32Array,
  ): { handle: number; entries: number; ring?: ArrayBuffer }
  poll(queue: number): number
  pollFor(queue: number, microseconds: number): number
  arm(queue: number): void
  freeCredits(queue: number): number
  createQueuePair(
    domain: number,
    sendQueue: number,
    receiveQueue: number,
    options: NativeQueuePairOptions,
    block: Uint32Array,
  ): NativeQueuePairResult
  modifyQueuePair(pair: number, attributes: NativeQueuePairAttributes): void
  queryQueuePair(pair: number): NativeQueuePairState
  attachMulticast(pair: number, gid: string, lid: number): void
  detachMulticast(pair: number, gid: string, lid: number): void
  settled(pair: number): boolean
  postSend(pair: number, first: number, count: number): number
  postReceive(pair: number, first: number, count: number): number
  submit(pair: number): number
  createAddressHandle(domain: number, vector: NativeAddressVector): number
  /** @param rules struct ibv_flow_spec_*, one behind the other */
  createFlow(pair: number, rules: Uint8Array[], options: NativeFlowOptions): number
}

/** Of struct ibv_flow_attr. */
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

export interface QueuePairSizes {
  maxSendWr: number
  maxReceiveWr: number
  maxSendSge: number
  maxReceiveSge: number
  maxInline: number
}

/** The sizes of a queue pair as ibv_qp_cap has them (ibv_query_qp(3)). */
export interface QueriedSizes {
  maxSendWr: number
  maxRecvWr: number
  maxSendSge: number
  maxRecvSge: number
  maxInlineData: number
}

export interface NativeQueuePairOptions extends QueuePairSizes {
  type: number
  /** Bytes of a request's elements together that a send may have at most: below 2^31. */
  longestMessage: number
  /** Bytes that one element of a receive tells the device at most: below 2^31. */
  longestReceive: number
}

export interface NativeQueuePairResult extends QueuePairSizes {
  handle: number
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

export type NativeQueuePairState = Required<NativeQueuePairAttributes> & QueriedSizes

/** ibv_device_attr (ibv_query_device(3)) and, under `extended`, ibv_device_attr_ex (ibv_query_device_ex(3)). */
export interface NativeDeviceAttributes {
  firmwareVersion: string
  nodeGuid: bigint
  sysImageGuid: bigint
  maxMrSize: bigint
  pageSizeCap: bigint
  vendorId: number
  vendorPartId: number
  hwVer: number
  maxQp: number
  maxQpWr: number
  deviceCapFlags: number
  maxSge: number
  maxSgeRd: number
  maxCq: number
  maxCqe: number
  maxMr: number
  maxPd: number
  maxQpRdAtom: number
  maxEeRdAtom: number
  maxResRdAtom: number
  maxQpInitRdAtom: number
  maxEeInitRdAtom: number
  atomicCap: number
  maxEe: number
  maxRdd: number
  maxMw: number
  maxRawIpv6Qp: number
  maxRawEthyQp: number
  maxMcastGrp: number
  maxMcastQpAttach: number
  maxTotalMcastQpAttach: number
  maxAh: number
  maxFmr: number
  maxMapPerFmr: number
  maxSrq: number
  maxSrqWr: number
  maxSrqSge: number
  maxPkeys: number
  localCaAckDelay: number
  physPortCnt: number
  extended: {
    odpGeneralCaps: bigint
    rcOdpCaps: number
    ucOdpCaps: number
    udOdpCaps: number
    xrcOdpCaps: number
    completionTimestampMask: bigint
    /** kHz */
    hcaCoreClock: bigint
    deviceCapFlagsEx: bigint
    maxTso: number
    tsoSupportedQpts: number
    rssSupportedQpts: number
    maxRwqIndirectionTables: number
    maxRwqIndirectionTableSize: number
    rxHashFieldsMask: bigint
    rxHashFunction: number
    maxWqTypeRq: number
    qpRateLimitMin: number
    qpRateLimitMax: number
    rawPacketCaps: number
    tagMatchingMaxRndvHdrSize: number
    tagMatchingMaxNumTags: number
    maxCqModerationCount: number
    maxCqModerationPeriod: number
    maxDmSize: bigint
    pciAtomicFetchAdd: number
    pciAtomicSwap: number
    pciAtomicCompareSwap: number
    physPortCntEx: number
  }
}

/** ibv_port_attr (ibv_query_port(3)). */
export interface NativePortAttributes {
  state: number
  maxMtu: number
  activeMtu: number
  gidTableLength: number
  portCapFlags: number
  portCapFlags2: number
  maxMessageSize: number
  badPkeyCounter: number
  qkeyViolationCounter: number
  pkeyTableLength: number
  lid: number
  smLid: number
  lmc: number
  maxVlNum: number
  smSl: number
  subnetTimeout: number
  initTypeReply: number
  activeWidth: number
  activeSpeed: number
  physicalState: number
  linkLayer: number
}
