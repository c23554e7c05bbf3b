/**
 * Flow rules as a classic BPF program (linux/filter.h, Documentation/networking/filter.rst in the kernel).
 *
 * A load beyond the frame's end ends a classic program with 0, before the rules after it: so each alternative compares the
 * frame's length before it loads.
 */
import { rangeError } from '../argument.js'
import type { Alternative, Comparison } from './alternative.js'
import { ethernetHeader, extent, fullMask, isEverything, noVlan, tagTypes, vlanTag } from './alternative.js'
import { ClassicAssembler } from './classic-assembler.js'

/** Opcodes: class, size, mode or operation (linux/bpf_common.h). */
const Op = {
  loadFrame: { 1: 0x30, 2: 0x28, 4: 0x20 },
  loadIndexed: { 1: 0x50, 2: 0x48, 4: 0x40 },
  loadLength: 0x80,
  loadMemory: 0x60,
  loadImmediate: 0x00,
  indexFromMemory: 0x61,
  store: 0x02,
  indexFromA: 0x07,
  aFromIndex: 0x87,
  add: 0x04,
  addIndex: 0x0c,
  and: 0x54,
  shiftLeft: 0x64,
  return: 0x06,
} as const
/** Conditional jumps. */
const Jump = { equal: 0x15, greater: 0x25, atLeast: 0x35, atLeastIndex: 0x3d, anyBit: 0x45 } as const
/** SKF_AD_OFF + SKF_AD_VLAN_TAG, …_PRESENT, …_VLAN_TPID: the tag that the kernel stripped from the frame. */
const Metadata = { vlanTag: 0xfffff02c, vlanTagPresent: 0xfffff030, vlanType: 0xfffff03c } as const
/** Cells of the scratch memory. */
const Cell = { network: 0, etherType: 1, vlan: 2, transport: 3, tagType: 4 } as const
const accept = 0xffffffff
/** BPF_MAXINSNS */
const maxInstructions = 4096

/**
 * The program for an AF_PACKET socket of type SOCK_RAW, four numbers (code, jt, jf, k) for each instruction: it accepts
 * whole every frame that one of the alternatives matches.
 *
 * @param name of the argument, for the error
 * @throws RangeError when it is too long for the kernel
 */
export function classicProgram(alternatives: readonly Alternative[], name = 'flows'): Uint32Array {
  const assembler = new ClassicAssembler()
  parse(
    assembler,
    alternatives.some(({ tag }) => tag !== undefined),
  )
  for (const alternative of alternatives) {
    match(assembler, alternative)
    assembler.label('next')
    if (isEverything(alternative)) break
  }
  assembler.label('none')
  assembler.emit(Op.return, 0)
  return limited(assembler.assemble(), name)
}

/** A program starts with A and X at 0: this restores that. */
const clear = Uint32Array.of(Op.loadImmediate, 0, 0, 0, Op.indexFromA, 0, 0, 0)

/** A program that accepts the frames that both accept. */
export function both(first: Uint32Array, second: Uint32Array, name = 'flows', what?: string): Uint32Array {
  const program = new Uint32Array(first.length + clear.length + second.length)
  program.set(first)
  program.set(clear, first.length)
  program.set(second, first.length + clear.length)
  for (let i = 0; i < first.length; i += 4) {
    // An accepting return of the first jumps to the second; a jump counts from the instruction behind it.
    if (first[i] === Op.return && first[i + 3] !== 0) program.set([0x05, 0, 0, (first.length - i) / 4 - 1], i)
  }
  return limited(program, name, what)
}

function limited(program: Uint32Array, name: string, what = 'rules for'): Uint32Array {
  const count = program.length / 4
  if (count > maxInstructions) {
    throw rangeError(
      name,
      `${what} at most ${maxInstructions} BPF instructions in all (fewer or simpler)`,
      count,
    )
  }
  return program
}

/**
 * Stores in their cells: where the network layer begins, the EtherType behind the tags and the outer tag's id.
 *
 * @param typed the outer tag's type as well, 0 for none
 */
function parse(assembler: ClassicAssembler, typed: boolean): void {
  assembler.emit(Op.loadLength)
  assembler.jump(Jump.atLeast, ethernetHeader, undefined, 'none')
  assembler.emit(Op.loadFrame[4], Metadata.vlanTagPresent)
  assembler.jump(Jump.equal, 0, 'tag in frame', undefined)
  assembler.emit(Op.loadFrame[4], Metadata.vlanTag)
  assembler.emit(Op.and, 0xfff)
  assembler.emit(Op.store, Cell.vlan)
  if (typed) {
    assembler.emit(Op.loadFrame[4], Metadata.vlanType)
    assembler.emit(Op.store, Cell.tagType)
  }
  assembler.go('second tag 0')

  assembler.label('tag in frame')
  assembler.emit(Op.loadImmediate, noVlan)
  assembler.emit(Op.store, Cell.vlan)
  if (typed) {
    assembler.emit(Op.loadImmediate, 0)
    assembler.emit(Op.store, Cell.tagType)
  }
  passTag(assembler, 0)
  // After a tag, A holds its type.
  if (typed) assembler.emit(Op.store, Cell.tagType)
  assembler.emit(Op.loadFrame[2], ethernetHeader)
  assembler.emit(Op.and, 0xfff)
  assembler.emit(Op.store, Cell.vlan)
  passTag(assembler, 1)
  parsed(assembler, 2)

  // The outer tag is in the metadata, so the frame's first tag is the second.
  assembler.label('second tag 0')
  passTag(assembler, 0)
  parsed(assembler, 1)
  for (const tags of [0, 1]) {
    assembler.label(`behind ${tags}`)
    parsed(assembler, tags)
  }
  assembler.label('parsed')
}

/** Continues when another whole tag follows this many; else jumps to `behind`. */
function passTag(assembler: ClassicAssembler, tags: number): void {
  const at = ethernetHeader - 2 + tags * vlanTag
  const behind = `behind ${tags}`
  assembler.emit(Op.loadLength)
  assembler.jump(Jump.atLeast, at + 2 + vlanTag, undefined, behind)
  assembler.emit(Op.loadFrame[2], at)
  const found = `tag ${tags} ${assembler.unique()}`
  for (const type of tagTypes) assembler.jump(Jump.equal, type, found, undefined)
  assembler.go(behind)
  assembler.label(found)
}

function parsed(assembler: ClassicAssembler, tags: number): void {
  const network = ethernetHeader + tags * vlanTag
  assembler.emit(Op.loadFrame[2], network - 2)
  assembler.emit(Op.store, Cell.etherType)
  assembler.emit(Op.loadImmediate, network)
  assembler.emit(Op.store, Cell.network)
  assembler.go('parsed')
}

/** Accepts, or jumps to the label `next`. */
function match(assembler: ClassicAssembler, alternative: Alternative): void {
  const { vlan, tag, etherType, version } = alternative
  if (tag) {
    assembler.emit(Op.loadMemory, Cell.tagType)
    assembler.jump(Jump.equal, tag.type, undefined, 'next')
  }
  if (vlan) {
    assembler.emit(Op.loadMemory, Cell.vlan)
    assembler.jump(Jump.equal, vlan.id === 'none' ? noVlan : vlan.id, undefined, 'next')
  }
  if (etherType !== undefined) {
    assembler.emit(Op.loadMemory, Cell.etherType)
    assembler.jump(Jump.equal, etherType, undefined, 'next')
  }
  if (extent(alternative, 'frame') > 0) {
    assembler.emit(Op.loadLength)
    assembler.jump(Jump.atLeast, extent(alternative, 'frame'), undefined, 'next')
    compareAll(assembler, alternative, 'frame')
  }
  if (extent(alternative, 'network') > 0) {
    assembler.emit(Op.loadMemory, Cell.network)
    point(assembler, Cell.network, extent(alternative, 'network'))
    if (version !== undefined) checkVersion(assembler, version)
    compareAll(assembler, alternative, 'network')
  }
  if (extent(alternative, 'transport') > 0) {
    if (version === 4) {
      assembler.emit(Op.loadIndexed[2], 6)
      assembler.jump(Jump.anyBit, 0x1fff, 'next', undefined)
      assembler.emit(Op.loadIndexed[1], 0)
      assembler.emit(Op.and, 0x0f)
      assembler.emit(Op.shiftLeft, 2)
    } else {
      assembler.emit(Op.loadImmediate, 40)
    }
    assembler.emit(Op.addIndex)
    assembler.emit(Op.store, Cell.transport)
    point(assembler, Cell.transport, extent(alternative, 'transport'))
    compareAll(assembler, alternative, 'transport')
  }
  assembler.emit(Op.return, accept)
}

/** With the cell's value in A: makes it the index if this many bytes follow it; else jumps to `next`. */
function point(assembler: ClassicAssembler, cell: number, bytes: number): void {
  assembler.emit(Op.add, bytes)
  assembler.emit(Op.indexFromA)
  assembler.emit(Op.loadLength)
  assembler.jump(Jump.atLeastIndex, 0, undefined, 'next')
  assembler.emit(Op.indexFromMemory, cell)
}

function checkVersion(assembler: ClassicAssembler, version: 4 | 6): void {
  assembler.emit(Op.loadIndexed[1], 0)
  if (version === 4) {
    assembler.jump(Jump.atLeast, 0x45, undefined, 'next')
    assembler.jump(Jump.greater, 0x4f, 'next', undefined)
  } else {
    assembler.emit(Op.and, 0xf0)
    assembler.jump(Jump.equal, 0x60, undefined, 'next')
  }
}

function compareAll(
  assembler: ClassicAssembler,
  { comparisons }: Alternative,
  layer: Comparison['layer'],
): void {
  for (const comparison of comparisons) {
    if (comparison.layer !== layer) continue
    const { size, offset, mask, low, high } = comparison
    assembler.emit((layer === 'frame' ? Op.loadFrame : Op.loadIndexed)[size], offset)
    if (mask !== fullMask(size)) assembler.emit(Op.and, mask)
    if (low === high) {
      assembler.jump(Jump.equal, low, undefined, 'next')
    } else {
      assembler.jump(Jump.atLeast, low, undefined, 'next')
      assembler.jump(Jump.greater, high, 'next', undefined)
    }
  }
}
