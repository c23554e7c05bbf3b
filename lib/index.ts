import './control/environment.js'

export { type ControlSocket, control } from './control/control.js'
export { VerbsError } from './errors.js'
export type { FlowBytes, FlowRule, PortRange } from './flow/rule.js'
export type { NativeHandle } from './handle.js'
export { Arena, type ArenaOptions } from './ring/arena.js'
export { AddressHandle, type ReceivedDatagram } from './verbs/address/address-handle.js'
export type { AddressVector } from './verbs/address/address-vector.js'
export type { Endpoint } from './verbs/address/endpoint.js'
export { bestGid, type GidEntry, type GidKind, gidKind } from './verbs/address/gid.js'
export type {
  AsyncEvent,
  CompletionQueueEvent,
  DeviceEvent,
  PortEvent,
  QueuePairEvent,
  WorkQueueEvent,
} from './verbs/async-event.js'
export type { CompletionCalls } from './verbs/completion-calls.js'
export {
  CompletionQueue,
  type CompletionQueueOptions,
  type CompletionWaitOptions,
} from './verbs/completion-queue.js'
export {
  type Access,
  type AtomicCapability,
  CompletionFlag,
  CompletionOpcode,
  type CompletionOpcodeName,
  CompletionStatus,
  type CompletionStatusName,
  type EventType,
  type GidType,
  type LinkLayer,
  multicastQueuePair,
  type NodeType,
  type PhysicalState,
  type PortState,
  type QueuePairState,
  type QueuePairType,
  type RawPacketCapability,
  type TransportType,
} from './verbs/constants.js'
export { Context } from './verbs/context.js'
export { type DeviceInfo, libibverbsPath, listDevices, open } from './verbs/device.js'
export type { DeviceAttributes, PortAttributes } from './verbs/device-attributes.js'
export { type DefaultFlow, Flow, type FlowOptions, type FlowTarget } from './verbs/flow.js'
export { MemoryRegion } from './verbs/memory-region.js'
export { ProtectionDomain, type RegisterOptions } from './verbs/protection-domain.js'
export type { QueuePairAttributes, QueuePairQuery } from './verbs/queue-pair/attributes.js'
export type { QueuePairCapabilities } from './verbs/queue-pair/capabilities.js'
export type { ConnectOptions, InitializeOptions } from './verbs/queue-pair/connect-options.js'
export type { QueuePairOptions } from './verbs/queue-pair/options.js'
export { QueuePair } from './verbs/queue-pair/queue-pair.js'
export type { RemoteMemory } from './verbs/remote-memory.js'
export type { AtomicOptions, PreparedAtomic } from './verbs/request/atomic.js'
export type { RequestMemory, ScatterElement } from './verbs/request/elements.js'
export type { PreparedReceive } from './verbs/request/receive.js'
export type { PreparedSend, SendOptions } from './verbs/request/send.js'
export type { SendFlags } from './verbs/request/send-flags.js'
export type { PreparedTransfer, TransferOptions } from './verbs/request/transfer.js'
export type { WaitOptions } from './wait-options.js'
