/**
 * Enumerations of verbs.h, by their names there without the IBV_ prefix. They leave out what only memory windows,
 * shared receive queues or tag matching use: this package has no calls for these.
 */

/** ibv_wc_status: what became of a work request. */
export const CompletionStatus = {
  SUCCESS: 0,
  LOC_LEN_ERR: 1,
  LOC_QP_OP_ERR: 2,
  LOC_EEC_OP_ERR: 3,
  LOC_PROT_ERR: 4,
  WR_FLUSH_ERR: 5,
  BAD_RESP_ERR: 7,
  LOC_ACCESS_ERR: 8,
  REM_INV_REQ_ERR: 9,
  REM_ACCESS_ERR: 10,
  REM_OP_ERR: 11,
  RETRY_EXC_ERR: 12,
  RNR_RETRY_EXC_ERR: 13,
  LOC_RDD_VIOL_ERR: 14,
  REM_INV_RD_REQ_ERR: 15,
  REM_ABORT_ERR: 16,
  INV_EECN_ERR: 17,
  INV_EEC_STATE_ERR: 18,
  FATAL_ERR: 19,
  RESP_TIMEOUT_ERR: 20,
  GENERAL_ERR: 21,
} as const
/** Name of an ibv_wc_status. */
export type CompletionStatusName = keyof typeof CompletionStatus

/** ibv_wc_opcode: what kind of work request completed. */
export const CompletionOpcode = {
  SEND: 0,
  RDMA_WRITE: 1,
  RDMA_READ: 2,
  COMP_SWAP: 3,
  FETCH_ADD: 4,
  FLUSH: 8,
  ATOMIC_WRITE: 9,
  RECV: 128,
  RECV_RDMA_WITH_IMM: 129,
} as const
/** Name of an ibv_wc_opcode. */
export type CompletionOpcodeName = keyof typeof CompletionOpcode

/** ibv_wc_flags, as bits. */
export const CompletionFlag = { GRH: 1, WITH_IMM: 2, IP_CSUM_OK: 4 } as const

/** ibv_access_flags, as bits. */
export const AccessFlag = {
  LOCAL_WRITE: 1,
  REMOTE_WRITE: 2,
  REMOTE_READ: 4,
  REMOTE_ATOMIC: 8,
  ON_DEMAND: 64,
  HUGETLB: 128,
  FLUSH_GLOBAL: 1 << 8,
  FLUSH_PERSISTENT: 1 << 9,
  RELAXED_ORDERING: 1 << 20,
} as const
/** Name of an ibv_access_flags bit. */
export type Access = keyof typeof AccessFlag

/** ibv_qp_type. */
export const QueuePairTypes = { RC: 2, UC: 3, UD: 4, RAW_PACKET: 8 } as const
/** Reliable connection, unreliable connection, unreliable datagram, raw Ethernet frames. */
export type QueuePairType = keyof typeof QueuePairTypes
export const queuePairTypes = Object.keys(QueuePairTypes) as QueuePairType[]

/** The queue pair number that datagrams to a multicast group carry (InfiniBand 9.6.1). */
export const multicastQueuePair = 0xffffff

/** ibv_raw_packet_caps, as bits: what a device can do for raw packets. */
export const RawPacketCapabilities = {
  CVLAN_STRIPPING: 1,
  SCATTER_FCS: 2,
  IP_CSUM: 4,
  DELAY_DROP: 8,
} as const
/** Name of an ibv_raw_packet_caps bit. */
export type RawPacketCapability = keyof typeof RawPacketCapabilities

/** ibv_flow_attr_type. */
export const FlowTypes = { normal: 0, allDefault: 1, multicastDefault: 2, sniffer: 3 } as const

/** ibv_qp_state. */
export const QueuePairStates = { RESET: 0, INIT: 1, RTR: 2, RTS: 3, SQD: 4, SQE: 5, ERR: 6 } as const
/** Name of an ibv_qp_state. */
export type QueuePairState = keyof typeof QueuePairStates

/** ibv_event_type of queue pairs. */
export const QueuePairEvents = {
  QP_FATAL: 1,
  QP_REQ_ERR: 2,
  QP_ACCESS_ERR: 3,
  COMM_EST: 4,
  SQ_DRAINED: 5,
  PATH_MIG: 6,
  PATH_MIG_ERR: 7,
} as const

/** ibv_event_type of ports. */
export const PortEvents = {
  PORT_ACTIVE: 9,
  PORT_ERR: 10,
  LID_CHANGE: 11,
  PKEY_CHANGE: 12,
  SM_CHANGE: 13,
  CLIENT_REREGISTER: 17,
  GID_CHANGE: 18,
} as const

/** ibv_event_type. */
export const EventTypes = {
  CQ_ERR: 0,
  ...QueuePairEvents,
  DEVICE_FATAL: 8,
  ...PortEvents,
  WQ_FATAL: 19,
  DEVICE_SPEED_CHANGE: 20,
} as const
/** Name of an ibv_event_type. */
export type EventType = keyof typeof EventTypes

/** ibv_port_state. */
export const PortStates = { NOP: 0, DOWN: 1, INIT: 2, ARMED: 3, ACTIVE: 4, ACTIVE_DEFER: 5 } as const
/** Name of an ibv_port_state. */
export type PortState = keyof typeof PortStates

/** Physical port states (IBA 14.2.5.6, PortInfo:PortPhysicalState). */
export const PhysicalStates = {
  NOP: 0,
  SLEEP: 1,
  POLLING: 2,
  DISABLED: 3,
  PORT_CONFIGURATION_TRAINING: 4,
  LINK_UP: 5,
  LINK_ERROR_RECOVERY: 6,
  PHYTEST: 7,
} as const
/** Name of a physical port state. */
export type PhysicalState = keyof typeof PhysicalStates

/** IBV_LINK_LAYER_*. */
export const LinkLayers = { Unspecified: 0, InfiniBand: 1, Ethernet: 2 } as const
/** Name of an IBV_LINK_LAYER_*. */
export type LinkLayer = keyof typeof LinkLayers

/** ibv_gid_type. */
export const GidTypes = { IB: 0, 'RoCE v1': 1, 'RoCE v2': 2 } as const
/** The protocol of a GID's packets: InfiniBand or a version of RoCE (ibv_gid_type). */
export type GidType = keyof typeof GidTypes

/** ibv_node_type; -1 is unknown. */
export const NodeTypes = {
  CA: 1,
  SWITCH: 2,
  ROUTER: 3,
  RNIC: 4,
  USNIC: 5,
  USNIC_UDP: 6,
  UNSPECIFIED: 7,
} as const
/** Name of an ibv_node_type. */
export type NodeType = keyof typeof NodeTypes | 'UNKNOWN'

/** ibv_transport_type; -1 is unknown. */
export const TransportTypes = { IB: 0, IWARP: 1, USNIC: 2, USNIC_UDP: 3, UNSPECIFIED: 4 } as const
/** Name of an ibv_transport_type. */
export type TransportType = keyof typeof TransportTypes | 'UNKNOWN'

/** ibv_atomic_cap. */
export const AtomicCapabilities = { NONE: 0, HCA: 1, GLOB: 2 } as const
/** Name of an ibv_atomic_cap. */
export type AtomicCapability = keyof typeof AtomicCapabilities

/**
 * The name of `value` in one of the enumerations above; 'UNKNOWN_' and the number for one that only a newer kernel has.
 */
export function nameOf<T extends Record<string, number>>(enumeration: T, value: number): keyof T & string {
  for (const name in enumeration) if (enumeration[name] === value) return name
  return `UNKNOWN_${value}` as keyof T & string
}

/** ibv_mtu to bytes: 1 is 256, 5 is 4096. */
export function mtuBytes(mtu: number): number {
  return 128 << mtu
}

/** Bytes to ibv_mtu. */
export const mtuCodes = new Map([256, 512, 1024, 2048, 4096].map((bytes, i) => [bytes, i + 1]))
