import type {
  AtomicCapability,
  LinkLayer,
  PhysicalState,
  PortState,
  RawPacketCapability,
} from './constants.js'

/**
 * Attributes of a device: the fields of ibv_device_attr (ibv_query_device(3)) in camelCase and, under `extended`, those of
 * ibv_device_attr_ex (ibv_query_device_ex(3)).
 */
export interface DeviceAttributes {
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
  atomicCap: AtomicCapability
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
  /** What the device can do for raw packets (ibv_raw_packet_caps). */
  rawPacketCapabilities: RawPacketCapability[]
}

/** Attributes of a port: the fields of ibv_port_attr (ibv_query_port(3)) in camelCase; MTUs in bytes, enumerations by name. */
export interface PortAttributes {
  state: PortState
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
  /** The speed where `activeSpeed` has no code for it: XDR and faster, from rdma-core 50 on; else 0. */
  activeSpeedEx: number
  physicalState: PhysicalState
  linkLayer: LinkLayer
}
