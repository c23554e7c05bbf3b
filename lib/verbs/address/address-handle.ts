import { integer, type Names, object, rangeError, typeError } from '../../argument.js'
import { idOf, NativeHandle } from '../../handle.js'
import { Kind, native } from '../../native.js'
import { CompletionQueue } from '../completion-queue.js'
import { CompletionFlag } from '../constants.js'
import type { DeviceQueries } from '../device-queries.js'
import { MemoryRegion } from '../memory-region.js'
import type { NativeAddressVector } from '../native.js'
import type { ProtectionDomain } from '../protection-domain.js'
import { type AddressVector, assertAddress, completeVector } from './address-vector.js'
import { checkEndpoint, type Endpoint, isEndpoint } from './endpoint.js'
import { isUnspecified } from './gid.js'

/**
 * A received UD datagram, as a row of a completion queue: {@link ProtectionDomain.createAddressHandle} makes the
 * address handle of its sender from it (ibv_create_ah_from_wc(3)). The sender's queue pair is
 * `cq.sourceQueuePair[row]`; its queue key is the one that both sides agreed on.
 */
export interface ReceivedDatagram {
  /** The completion queue that reported it. */
  cq: CompletionQueue
  /** Row of the completion, valid until the next poll; 0 by default. */
  row?: number
  /** The region that it was received into: the first 40 bytes of the receive are its global route header (GRH). */
  memory: MemoryRegion
  /** Offset of the receive in the region, in bytes; 0 by default. */
  offset?: number
  /** The port that received it, from 1; 1 by default. */
  port?: number
}
const receivedDatagramNames = {
  cq: true,
  row: true,
  memory: true,
  offset: true,
  port: true,
} as const satisfies Names<ReceivedDatagram>

/** Bytes of the global route header (GRH) that begins every UD receive. */
const routeHeaderLength = 40

/** An address handle (ibv_create_ah(3)): a destination of UD sends. */
export class AddressHandle extends NativeHandle {
  readonly domain: ProtectionDomain
  /** The address vector, complete with defaults. */
  readonly vector: Readonly<AddressVector>
  readonly #handle: number

  private constructor(handle: number, domain: ProtectionDomain, vector: AddressVector) {
    super(handle, Kind.AddressHandle, 'address handle')
    this.domain = domain
    this.vector = Object.freeze(vector)
    this.#handle = handle
    domain.members.addAddressHandle(handle)
  }

  /** @internal */
  static create(
    domain: ProtectionDomain,
    domainHandle: number,
    destination: Endpoint | AddressVector | ReceivedDatagram,
  ): AddressHandle {
    if (typeof destination !== 'object' || destination === null) {
      throw typeError('destination', 'an endpoint, an address vector or a received datagram', destination)
    }
    if ('cq' in destination) {
      const back = wayBack(domain, domainHandle, destination)
      return new AddressHandle(native.verbs.createAddressHandle(domainHandle, back), domain, back)
    }
    const { context } = domain
    const address = isEndpoint(destination)
      ? addressOf(context, checkEndpoint('destination', destination))
      : destination
    const vector = completeVector(context, address, 'destination', 'ibv_create_ah')
    return new AddressHandle(native.verbs.createAddressHandle(domainHandle, vector), domain, vector)
  }

  override close(): void {
    try {
      super.close()
    } finally {
      if (this.closed) this.domain.members.closed(this.#handle)
    }
  }

  /** @internal */
  protected override describe(): Record<string, unknown> {
    return { ...this.vector, closed: false }
  }
}

/** The address vector of a datagram's sender. */
function wayBack(
  domain: ProtectionDomain,
  domainHandle: number,
  datagram: ReceivedDatagram,
): NativeAddressVector {
  const { context } = domain
  const name = 'destination'
  object(name, datagram, 'a received datagram', receivedDatagramNames)
  const { cq, row = 0, memory, offset = 0, port = 1 } = datagram
  idOf(`${name}.cq`, cq, CompletionQueue)
  if (cq.context !== context) throw typeError(`${name}.cq`, "of the domain's own context", cq)
  integer(`${name}.row`, row, 0, cq.batch - 1)
  if (cq.statusName(row) !== 'SUCCESS' || !cq.opcodeName(row).startsWith('RECV')) {
    const what = `${cq.opcodeName(row)}, ${cq.statusName(row)}`
    throw rangeError(`${name}.row`, `a row with a receive that succeeded (this is ${what})`, row)
  }
  idOf(`${name}.memory`, memory, MemoryRegion)
  integer(`${name}.offset`, offset, 0, memory.length)
  integer(`${name}.port`, port, 1, context.portCount)
  const routed = (cq.flags[row] & CompletionFlag.GRH) !== 0
  if (routed && offset + routeHeaderLength > memory.length) {
    throw rangeError(`${name}.offset`, `where a receive of ${routeHeaderLength} bytes or more began`, offset)
  }
  const header = routed ? memory.bytes.subarray(offset, offset + routeHeaderLength) : null
  return native.verbs.addressVectorOf(domainHandle, port, cq.path(row), header)
}

/** The address vector of an endpoint, before defaults. */
function addressOf(device: DeviceQueries, endpoint: Endpoint): AddressVector {
  assertAddress(device, 1, 'destination', endpoint)
  const { gid, lid } = endpoint
  return isUnspecified(gid) ? { lid } : { gid, lid }
}
