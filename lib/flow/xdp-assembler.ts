import { endianness } from 'node:os'

/** struct bpf_insn (linux/bpf.h) */
export interface XdpInstruction {
  code: number
  destination: number
  source: number
  offset: number
  immediate: number
}

const little = endianness() === 'LE'
/** Jumps have signed 16-bit offsets. */
const maxInstructions = 32767
const jumpAlways = 0x05

function instruction(code: number, destination = 0, source = 0, offset = 0, immediate = 0): XdpInstruction {
  return { code, destination, source, offset, immediate }
}

/** destination = size bytes at [source + offset], in the machine's byte order */
export function load(size: 1 | 2 | 4, destination: number, source: number, offset: number): XdpInstruction {
  return instruction({ 1: 0x71, 2: 0x69, 4: 0x61 }[size], destination, source, offset)
}

/** destination = immediate */
export function move(destination: number, immediate: number): XdpInstruction {
  return instruction(0xb7, destination, 0, 0, immediate)
}

/** Calls a helper function: arguments in r1 to r5, which it clobbers, the result in r0. */
export function call(helper: number): XdpInstruction {
  return instruction(0x85, 0, 0, 0, helper)
}

export function exit(): XdpInstruction {
  return instruction(0x95)
}

/** The instructions as an array of `struct bpf_insn`, in the machine's byte order. */
export function encode(instructions: readonly XdpInstruction[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(instructions.length * 8))
  for (const [i, { code, destination, source, offset, immediate }] of instructions.entries()) {
    view.setUint8(i * 8, code)
    // Two four-bit fields: the first is the lower half on little-endian machines, the upper on others.
    view.setUint8(i * 8 + 1, little ? destination | (source << 4) : (destination << 4) | source)
    view.setInt16(i * 8 + 2, offset, little)
    view.setUint32(i * 8 + 4, immediate >>> 0, little)
  }
  return new Uint8Array(view.buffer)
}

/**
 * Assembles eBPF, with forward jumps by name. A name refers to the next place where it is set, and may be set and used
 * again.
 */
export class XdpAssembler {
  readonly #instructions: XdpInstruction[] = []
  /** For each name that is not set yet: the instructions that jump to it. */
  readonly #awaited = new Map<string, number[]>()

  emit(...instructions: XdpInstruction[]): void {
    this.#instructions.push(...instructions)
  }

  /** destination = pointer + bytes */
  point(destination: number, pointer: number, bytes: number): void {
    this.emit(instruction(0xbf, destination, pointer))
    if (bytes !== 0) this.emit(instruction(0x07, destination, 0, 0, bytes))
  }

  /** destination += source */
  addRegister(destination: number, source: number): void {
    this.emit(instruction(0x0f, destination, source))
  }

  /** destination = the big-endian number at [pointer + offset] */
  number(size: 1 | 2 | 4, destination: number, pointer: number, offset: number): void {
    this.emit(load(size, destination, pointer, offset))
    // BPF_END | BPF_TO_BE swaps bytes on a little-endian machine.
    if (size > 1) this.emit(instruction(0xdc, destination, 0, 0, size * 8))
  }

  /** The lower 32 bits of a register &= mask; the upper become 0. */
  and(register: number, mask: number): void {
    this.emit(instruction(0x54, register, 0, 0, mask))
  }

  /** The lower 32 bits of a register <<= bits. */
  shiftLeft(register: number, bits: number): void {
    this.emit(instruction(0x64, register, 0, 0, bits))
  }

  /** A conditional jump: compares a register with an immediate or another register. */
  jump(code: number, register: number, against: number | { register: number }, name: string): void {
    this.#await(name)
    if (typeof against === 'number') this.emit(instruction(code, register, 0, 0, against))
    else this.emit(instruction(code, register, against.register))
  }

  go(name: string): void {
    this.#await(name)
    this.emit(instruction(jumpAlways))
  }

  /** Resolves all open jumps to this name to the next instruction; returns whether there were any. */
  label(name: string): boolean {
    for (const at of this.#awaited.get(name) ?? []) {
      this.#instructions[at].offset = this.#instructions.length - at - 1
    }
    return this.#awaited.delete(name)
  }

  /** The program; undefined when it is too long for the jumps. */
  instructions(): XdpInstruction[] | undefined {
    if (this.#awaited.size > 0) throw new Error(`labels never set: ${[...this.#awaited.keys()].join(', ')}`)
    return this.#instructions.length > maxInstructions ? undefined : this.#instructions
  }

  /** {@link instructions}, encoded for the kernel. */
  assemble(): Uint8Array | undefined {
    const instructions = this.instructions()
    return instructions && encode(instructions)
  }

  #await(name: string): void {
    const awaited = this.#awaited.get(name)
    if (awaited) awaited.push(this.#instructions.length)
    else this.#awaited.set(name, [this.#instructions.length])
  }
}
