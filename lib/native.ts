/** The addon: loaded once, typed by the three files that use it. Nothing outside lib/ sees it. */
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { VerbsError } from './errors.js'
import type { EthernetNative, NetlinkNative } from './ethernet/native.js'
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
  soft: SoftNative
}

const root = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '')

/** The file that the addon was loaded from. @internal */
export let addonFile = ''

/** node-gyp-build looks into build/Release, then into prebuilds/, of the package or of what IBVERBS_PREBUILD names. */
function load(): Native {
  const require = createRequire(import.meta.url)
  const locator = require('node-gyp-build') as { resolve(folder: string): string }
  let file: string
  try {
    file = locator.resolve(root)
  } catch (cause) {
    const machine = `${process.platform}-${process.arch} (${isMusl() ? 'musl' : 'glibc'})`
    throw new Error(`ibverbs: no addon for ${machine} in ${root}. ${howToBuild()}`, { cause })
  }
  try {
    const addon = require(file) as Native
    addonFile = file
    return addon
  } catch (cause) {
    throw new Error(`ibverbs: ${(cause as Error).message}. ${howToBuild()}`, { cause })
  }
}

/** One command for a checkout and for an installed package, which has no devDependencies. */
function howToBuild(): string {
  if (process.platform !== 'linux') return 'It runs on Linux only'
  return (
    `Build it with: npx --yes --package cmake-js@8 --package node-addon-api@8 cmake-js compile --directory '${root}' ` +
    `(needs g++, make, cmake and headers; on Debian: apt-get install g++ make cmake libibverbs-dev librdmacm-dev libuv1-dev)`
  )
}

function isMusl(): boolean {
  const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined
  return report?.header?.glibcVersionRuntime === undefined
}

/** Version of all records that cross the boundary: that of binding/addon.cc. */
const recordVersion = 3

export const native: Native = load()
if (native.recordVersion !== recordVersion) {
  throw new Error(
    `ibverbs: the addon speaks version ${native.recordVersion} of the records and this library version ${recordVersion}. ` +
      howToBuild(),
  )
}
native.setErrorConstructor(VerbsError)
