import { rangeError } from '../../argument.js'
import type { Alternative, Comparison } from '../../flow/alternative.js'
import { formatMac } from '../../headers/mac.js'
import type { Flow, FlowTarget } from '../../verbs/flow.js'
import { maxGroups } from '../af-packet/accept.js'
import type { Settings } from '../settings.js'

const broadcast = new Uint8Array(6).fill(0xff)
const everyGroup = 'every group'
const everybody = 'everybody'

/**
 * The frames that the device steers to a raw packet queue pair, chosen as the other backends' programs choose them: the
 * interface's own address and broadcast, the groups that the queue joined, and every frame when it is promiscuous; of
 * these, the frames that the flow rules and the EtherType let through. Each destination takes one rule of the device,
 * or several.
 */
export class RawSteering {
  readonly #pair: FlowTarget
  /** Conditions on a frame besides its destination; undefined: none. */
  readonly #wanted: readonly Alternative[] | undefined
  readonly #flows = new Map<string, Flow<FlowTarget>>()
  #groups = 0

  /** @throws VerbsError ENOTSUP with the flow rule's field that a device cannot compare */
  constructor(pair: FlowTarget, settings: Settings) {
    this.#pair = pair
    this.#wanted = settings.flows
  }

  /** Installs the rules: frames come from now on. */
  start(own: Uint8Array, { groups, allMulticast, promiscuous }: Settings): void {
    this.#add(formatMac(own), exactly(own))
    this.#add(formatMac(broadcast), exactly(broadcast))
    for (const group of groups) this.join(group)
    if (allMulticast) this.#add(everyGroup, [destination(0, 1, 0x01, 0x01)])
    if (promiscuous) this.promiscuous(true)
  }

  promiscuous(on: boolean): void {
    if (on) this.#add(everybody, [])
    else this.#remove(everybody)
  }

  join(group: Uint8Array): void {
    const mac = formatMac(group)
    if (this.#flows.has(mac)) return
    if (this.#groups === maxGroups) {
      throw rangeError(
        'group',
        `one of at most ${maxGroups} that a queue joins (or open with multicast: 'all')`,
        mac,
      )
    }
    this.#add(mac, exactly(group))
    this.#groups++
  }

  leave(group: Uint8Array): void {
    if (this.#remove(formatMac(group))) this.#groups--
  }

  #add(key: string, comparisons: Comparison[]): void {
    if (this.#flows.has(key)) return
    // The frames that no other rule matches: other queues keep theirs.
    if (key === everybody && this.#wanted === undefined) {
      this.#flows.set(key, this.#pair.createFlow('allDefault'))
      return
    }
    const wanted = this.#wanted ?? [anything]
    const alternatives = wanted.map((each) => ({
      ...each,
      comparisons: [...each.comparisons, ...comparisons],
    }))
    this.#flows.set(key, this.#pair.createFlowOf(alternatives, 'options.flows'))
  }

  #remove(key: string): boolean {
    this.#flows.get(key)?.close()
    return this.#flows.delete(key)
  }
}

const anything: Alternative = {
  vlan: undefined,
  tag: undefined,
  etherType: undefined,
  version: undefined,
  comparisons: [],
}

function exactly(address: Uint8Array): Comparison[] {
  const view = new DataView(address.buffer, address.byteOffset)
  return [destination(0, 4, 0xffffffff, view.getUint32(0)), destination(4, 2, 0xffff, view.getUint16(4))]
}

function destination(offset: number, size: 1 | 2 | 4, mask: number, value: number): Comparison {
  return { layer: 'frame', offset, size, mask, low: value, high: value, field: 'destination address' }
}
