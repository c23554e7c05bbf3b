/**
 * The addon: the first call that needs it loads it, and each folder that uses it types its own part. Nothing outside
 * lib/ sees it.
 */
import { loadError, locateAddon, requireAddon } from './addon.js'
import type { ControlNative } from './control/native.js'
import { VerbsError } from './errors.js'
import type { EthernetNative, NetlinkNative } from './ethernet/native.js'
import type { Mlx5Native } from './mlx5/native.js'
import type { RingNative } from './ring/native.js'
import type { SoftNative } from './soft/native.js'
import type { VerbsNative } from './verbs/native.js'

/** The kinds of handle, in the order of `enum class Kind` (binding/handle_table.h). */
export const Kind = {
  Context: 0,
  ProtectionDomain: 1,
  MemoryRegion: 2,
  CompletionQueue: 3,
  QueuePair: 4,
  AddressHandle: 5,
  PacketSocket: 6,
  NetlinkSocket: 7,
  XdpSocket: 8,
  Flow: 9,
  RawPacketQueue: 10,
  LinkWatch: 11,
  WorkQueue: 12,
  IndirectionTable: 13,
  RssQueuePair: 14,
} as const
export type Kind = (typeof Kind)[keyof typeof Kind]

export interface Native {
  readonly recordVersion: number
  close(handle: number, kind: Kind): boolean
  isOpen(handle: number, kind: Kind): boolean
  handleCount(): number
  setErrorConstructor(errorClass: typeof VerbsError): void
  ring: RingNative
  verbs: VerbsNative
  ethernet: EthernetNative
  netlink: NetlinkNative
  mlx5: Mlx5Native
  control: ControlNative
  soft: SoftNative
}

/** Version of the records that cross the native boundary: kRecordVersion of binding/addon.cc. */
const recordVersion = 8

let loaded: Native | undefined

const waiting: (() => void)[] = []

/** Calls back when the addon has been loaded. */
export function whenLoaded(call: () => void): void {
  if (loaded) call()
  else waiting.push(call)
}

/**
 * Loads the addon, once per thread.
 *
 * @throws Error ERR_IBVERBS_ADDON that says why it cannot be loaded here, and how to fix that
 */
export function load(): Native {
  if (loaded) return loaded
  const file = locateAddon()
  const addon = requireAddon(file) as Native
  if (addon.recordVersion !== recordVersion) throw otherVersion(file, addon.recordVersion)
  addon.setErrorConstructor(VerbsError)
  native = addon
  loaded = addon
  for (const call of waiting) call()
  return addon
}

/**
 * The addon. At first this is a proxy, and the first access loads the addon: importing a module does not need it, and
 * no call can forget to load it. From then on this is the addon's own object. Code that runs for each batch of frames
 * or requests keeps the native function in a field, since a property of this object is looked up at each call.
 */
export let native: Native = new Proxy({} as Native, { get: (_, name) => Reflect.get(load(), name) })

function otherVersion(file: string, version: unknown): Error {
  return loadError(
    `the addon ${file} speaks version ${version} of the records and this library version ${recordVersion}: ` +
      'they are of different releases',
    "Install the package anew, or in a checkout build the addon with 'npm run build:native'",
  )
}
