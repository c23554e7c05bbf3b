/** The addon: loaded once, typed by the three files that use it. Nothing outside lib/ sees it. */
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { VerbsError } from './errors.js'
import type { EthernetNative } from './ethernet/native.js'
import type { RingNative } from './ring/native.js'
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
} as const
export type Kind = (typeof Kind)[keyof typeof Kind]

export interface Native {
  close(handle: number, kind: Kind): boolean
  isOpen(handle: number, kind: Kind): boolean
  handleCount(): number
  setErrorConstructor(errorClass: typeof VerbsError): void
  ring: RingNative
  verbs: VerbsNative
  ethernet: EthernetNative
}

function load(): Native {
  const require = createRequire(import.meta.url)
  const root = fileURLToPath(new URL('..', import.meta.url))
  try {
    return require('node-gyp-build')(root) as Native
  } catch (cause) {
    const libc = process.report?.getReport !== undefined && isMusl() ? 'musl' : 'glibc'
    throw new Error(
      `ibverbs: no addon for ${process.platform}-${process.arch} (${libc}) in ${root}. ` +
        `Build it there with: npm install --ignore-scripts && npm run build:native ` +
        `(needs g++, make, cmake and the Debian packages libibverbs-dev librdmacm-dev libuv1-dev)`,
      { cause },
    )
  }
}

function isMusl(): boolean {
  const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined
  return report?.header?.glibcVersionRuntime === undefined
}

export const native: Native = load()
native.setErrorConstructor(VerbsError)
