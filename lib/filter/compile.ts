/** Filters in the syntax of pcap-filter(7): libpcap compiles them to classic BPF (linux/filter.h). */
import { string } from '../argument.js'
import { verbsError } from '../errors.js'
import { native } from '../native.js'
import { Class, Code, firstMetadata, Mode } from './classic.js'

/** The frames that the program runs on: those of a packet socket, of the wire, or of a capture. */
export type FilterSource = 'socket' | 'wire' | 'file'

/**
 * Compiles a filter to four numbers (code, jt, jf, k) for each instruction; the program accepts a frame whole.
 *
 * @param source 'socket' lets the program load metadata that the kernel keeps beside the frame, above all the VLAN tag that
 *   it strips
 * @param interfaceName of a socket
 * @throws Error ERR_IBVERBS_FILTER in libpcap's own words; VerbsError ENOSYS where it is not installed, EPERM without
 *   CAP_NET_RAW for a socket
 */
export function compileFilter(expression: string, source: FilterSource, interfaceName = ''): Uint32Array {
  const program = native.ethernet.pcap.compile(expression, source, interfaceName)
  if (typeof program === 'string') throw filterError(expression, program)
  for (let at = 0; at < program.length; at += 4) {
    // A program returns how many bytes to keep: libpcap's snapshot length, here all.
    if (program[at] === Code.return && program[at + 3] !== 0) program[at + 3] = 0xffffffff
  }
  if (source !== 'file' && hasLoop(program)) {
    throw verbsError(
      'ENOTSUP',
      'pcap_compile',
      `filter '${expression}': 'protochain' needs a loop, which the kernel's BPF does not have: it filters captures only`,
    )
  }
  return program
}

/** The metadata at each offset from SKF_AD_OFF on (linux/filter.h), in the words of pcap-filter(7). */
const metadata: Readonly<Record<number, string>> = {
  0: 'the protocol as the kernel has it',
  4: "the frame's direction ('inbound', 'outbound')",
  8: "the interface's number ('ifindex')",
  44: 'the VLAN tag that the kernel took out',
  48: 'the VLAN tag that the kernel took out',
  60: 'the type of the VLAN tag that the kernel took out',
}

/**
 * Refuses a program that loads metadata which only the kernel has, and names it.
 *
 * @param who lacks the metadata
 * @throws VerbsError ENOTSUP
 */
export function refuseMetadata(program: Uint32Array, expression: string, who: string): void {
  for (let at = 0; at < program.length; at += 4) {
    const [code, , , k] = program.subarray(at, at + 4)
    const loads =
      (code & 7) <= Class.loadIndex && [Mode.absolute, Mode.indexed].some((mode) => (code & 0xe0) === mode)
    if (!loads || k < firstMetadata) continue
    const what =
      metadata[k - 0xfffff000] ?? `something that only the kernel knows (offset 0x${k.toString(16)})`
    throw verbsError(
      'ENOTSUP',
      'pcap_compile',
      `filter '${expression}': it asks for ${what}, which ${who} does not know (backend 'af_packet' does)`,
    )
  }
}

/** @throws TypeError for a value that is no string, or one that holds a NUL character */
export function filterArgument(name: string, value: unknown): string {
  const expression = string(name, value)
  if (expression.includes('\0')) throw filterError(expression, 'a NUL character')
  return expression
}

function filterError(expression: string, text: string): Error {
  return Object.assign(new Error(`filter '${expression}': ${text}`), { code: 'ERR_IBVERBS_FILTER' })
}

function hasLoop(program: Uint32Array): boolean {
  for (let at = 0; at < program.length; at += 4) {
    if (program[at] === Code.jumpAlways && program[at + 3] > 0x7fffffff) return true
  }
  return false
}
