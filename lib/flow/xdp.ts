/**
 * Flow rules as an XDP program: eBPF instructions (RFC 9669, linux/bpf.h); a frame that no rule matches gets XDP_PASS.
 *
 * A pure function; the backend loads and attaches the program. The 32-bit jumps need Linux 5.1.
 */
import { rangeError } from '../argument.js'
import { verbsError } from '../errors.js'
import type { Alternative, Comparison } from './alternative.js'
import {
  ethernetHeader,
  extent,
  fullMask,
  isEverything,
  maxTags,
  noVlan,
  tagTypes,
  vlanTag,
} from './alternative.js'
import { call, exit, load, move, XdpAssembler, type XdpInstruction } from './xdp-assembler.js'

/** What the program sees of a frame on this device. */
export interface XdpProgramOptions {
  /** What to do with a frame that matches: r6 holds the context (struct xdp_md); it must end with an exit. */
  matched: readonly XdpInstruction[]
  /**
   * Whether VLAN tags are in the frame. A device that strips them (`ethtool -k`: rx-vlan-offload) hides them from the
   * program: a rule that names `vlan` is then refused.
   */
  vlanInFrame: boolean
  /**
   * Bytes that a frame's first buffer certainly holds. The program sees no more of a multi-buffer frame, so a rule that
   * compares bytes behind them is refused.
   */
  firstBuffer: number
}

/** Registers; r0 serves comparisons. */
const Register = {
  result: 0,
  packet: 2,
  end: 3,
  etherType: 4,
  vlan: 5,
  context: 6,
  network: 7,
  transport: 8,
} as const
/** JMP32 with an immediate; `beyond` compares two registers as pointers. */
const Jump = { equal: 0x16, notEqual: 0x56, greater: 0x26, less: 0xa6, anyBit: 0x46, beyond: 0x2d } as const
/** enum xdp_action */
const xdpPass = 2
/** BPF_FUNC_redirect_map */
const redirectMap = 51
/** Offsets in struct xdp_md */
const Context = { data: 0, dataEnd: 4, queueIndex: 16 } as const
/** The longest IPv4 header, in bytes. */
const maxIpHeader = 60

/** The action of an AF_XDP queue for a matching frame: redirect it to the XSKMAP's socket for its receive queue. */
export function redirectToSocket(mapDescriptor: number): XdpInstruction[] {
  return [
    load(4, 2, Register.context, Context.queueIndex),
    // BPF_LD_IMM64 with BPF_PSEUDO_MAP_FD takes two instruction slots.
    { code: 0x18, destination: 1, source: 1, offset: 0, immediate: mapDescriptor },
    { code: 0, destination: 0, source: 0, offset: 0, immediate: 0 },
    // The lower bits of the flags are the action where the map has no socket for the queue.
    move(3, xdpPass),
    call(redirectMap),
    exit(),
  ]
}

/**
 * The program as an array of `struct bpf_insn` in the machine's byte order, ready for bpf(2) BPF_PROG_LOAD.
 *
 * It expects only the context in r1, so that it may follow another program.
 *
 * @param name of the argument, for the error
 * @throws VerbsError ENOTSUP that names the field that XDP cannot see; RangeError when it is too long
 */
export function xdpFlowProgram(
  alternatives: readonly Alternative[],
  options: XdpProgramOptions,
  name = 'flows',
): Uint8Array {
  for (const alternative of alternatives) refuse(alternative, options)
  const assembler = new XdpAssembler()
  parse(assembler)
  for (const alternative of alternatives) {
    match(assembler, alternative)
    assembler.label('next')
    if (isEverything(alternative)) break
  }
  assembler.label('none')
  assembler.emit(move(Register.result, xdpPass), exit())
  assembler.label('match')
  assembler.emit(...options.matched)
  const program = assembler.assemble()
  if (!program)
    throw rangeError(name, 'rules for at most 32767 XDP instructions in all (fewer or simpler)', name)
  return program
}

function refuse(
  { vlan, tag, comparisons }: Alternative,
  { vlanInFrame, firstBuffer }: XdpProgramOptions,
): void {
  const hidden = vlan ?? tag
  if (hidden && !vlanInFrame) {
    throw verbsError(
      'ENOTSUP',
      'bpf',
      `"${hidden.field}": XDP does not see the VLAN tags that this device takes out of frames (ethtool -K NAME rxvlan off, or another backend)`,
    )
  }
  const before = {
    frame: 0,
    network: ethernetHeader + maxTags * vlanTag,
    transport: ethernetHeader + maxTags * vlanTag + maxIpHeader,
  }
  for (const { layer, offset, size, field } of comparisons) {
    if (before[layer] + offset + size > firstBuffer) {
      throw verbsError(
        'ENOTSUP',
        'bpf',
        `"${field}": XDP sees only the first ${firstBuffer} bytes of a frame here (another backend sees all)`,
      )
    }
  }
}

/** Sets all registers but `transport`. */
function parse(assembler: XdpAssembler): void {
  const { packet, end, etherType, vlan, context, network } = Register
  assembler.emit(
    { code: 0xbf, destination: context, source: 1, offset: 0, immediate: 0 },
    load(4, packet, context, Context.data),
    load(4, end, context, Context.dataEnd),
    move(vlan, noVlan),
  )
  assembler.point(network, packet, ethernetHeader)
  assembler.jump(Jump.beyond, network, { register: end }, 'none')
  assembler.number(2, etherType, packet, ethernetHeader - 2)
  for (let tags = 0; tags < maxTags; tags++) {
    const at = ethernetHeader + tags * vlanTag
    for (const type of tagTypes) assembler.jump(Jump.equal, etherType, type, 'tag')
    assembler.go('parsed')
    assembler.label('tag')
    assembler.point(Register.result, packet, at + vlanTag)
    assembler.jump(Jump.beyond, Register.result, { register: end }, 'parsed')
    if (tags === 0) {
      assembler.number(2, vlan, packet, at)
      assembler.and(vlan, 0xfff)
    }
    assembler.number(2, etherType, packet, at + 2)
    assembler.point(network, packet, at + vlanTag)
  }
  assembler.label('parsed')
}

/** Jumps to the label `match`, or continues to `next`. */
function match(assembler: XdpAssembler, alternative: Alternative): void {
  const { vlan, tag, etherType, version } = alternative
  const { result, packet, network, transport } = Register
  if (tag) {
    // The tag must be whole, and of this type.
    assembler.jump(Jump.equal, Register.vlan, noVlan, 'next')
    assembler.number(2, result, packet, ethernetHeader - 2)
    assembler.jump(Jump.notEqual, result, tag.type, 'next')
  }
  if (vlan) {
    assembler.jump(Jump.notEqual, Register.vlan, vlan.id === 'none' ? noVlan : vlan.id, 'next')
  }
  if (etherType !== undefined) assembler.jump(Jump.notEqual, Register.etherType, etherType, 'next')
  if (extent(alternative, 'frame') > 0) {
    need(assembler, packet, extent(alternative, 'frame'))
    compareAll(assembler, alternative, 'frame', packet)
  }
  if (extent(alternative, 'network') > 0) {
    need(assembler, network, extent(alternative, 'network'))
    if (version !== undefined) {
      assembler.number(1, result, network, 0)
      if (version === 4) {
        assembler.jump(Jump.less, result, 0x45, 'next')
        assembler.jump(Jump.greater, result, 0x4f, 'next')
      } else {
        assembler.and(result, 0xf0)
        assembler.jump(Jump.notEqual, result, 0x60, 'next')
      }
    }
    compareAll(assembler, alternative, 'network', network)
  }
  if (extent(alternative, 'transport') > 0) {
    if (version === 4) {
      assembler.number(2, result, network, 6)
      assembler.jump(Jump.anyBit, result, 0x1fff, 'next')
      assembler.number(1, result, network, 0)
      assembler.and(result, 0x0f)
      assembler.shiftLeft(result, 2)
      assembler.point(transport, network, 0)
      assembler.addRegister(transport, result)
    } else {
      assembler.point(transport, network, 40)
    }
    need(assembler, transport, extent(alternative, 'transport'))
    compareAll(assembler, alternative, 'transport', transport)
  }
  assembler.go('match')
}

/** Jumps to `next` unless this many bytes follow a pointer, in the form that the verifier requires. */
function need(assembler: XdpAssembler, pointer: number, bytes: number): void {
  assembler.point(Register.result, pointer, bytes)
  assembler.jump(Jump.beyond, Register.result, { register: Register.end }, 'next')
}

function compareAll(
  assembler: XdpAssembler,
  { comparisons }: Alternative,
  layer: Comparison['layer'],
  pointer: number,
): void {
  const { result } = Register
  for (const comparison of comparisons) {
    if (comparison.layer !== layer) continue
    const { size, offset, mask, low, high } = comparison
    assembler.number(size, result, pointer, offset)
    if (mask !== fullMask(size)) assembler.and(result, mask)
    if (low === high) {
      assembler.jump(Jump.notEqual, result, low, 'next')
    } else {
      assembler.jump(Jump.less, result, low, 'next')
      assembler.jump(Jump.greater, result, high, 'next')
    }
  }
}
