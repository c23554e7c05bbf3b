/**
 * A filter's classic BPF as a part of an XDP program: eBPF instructions (RFC 9669, linux/bpf.h).
 *
 * A classic load beyond the frame's end makes the program return 0. Here each load compares with the end first, as the
 * verifier demands; where the frame may continue in another buffer, a helper function loads from there.
 */
import { release } from 'node:os'
import { rangeError } from '../argument.js'
import { call, exit, load, move, XdpAssembler, type XdpInstruction } from '../flow/xdp-assembler.js'
import { Class, Code, cells, Mode, Operation, operandX, sizeOf } from './classic.js'
import { refuseMetadata } from './compile.js'

/** r6 holds the context when the part begins; no other register is preserved. */
const Register = {
  result: 0,
  context: 6,
  packet: 2,
  end: 3,
  place: 4,
  offset: 5,
  a: 7,
  x: 8,
  length: 9,
  frame: 10,
} as const
/** Offsets in struct xdp_md */
const Context = { data: 0, dataEnd: 4 } as const
/** BPF_FUNC_xdp_get_buff_len, BPF_FUNC_xdp_load_bytes: since Linux 5.18, like multi-buffer frames. */
const Helper = { frameLength: 188, loadBytes: 189 } as const
const Op = {
  move64: 0xbf,
  add64: 0x07,
  addRegister64: 0x0f,
  subtractRegister64: 0x1f,
  move: 0xbc,
  moveImmediate: 0xb4,
  and: 0x54,
  shiftLeft: 0x64,
  store: 0x62,
  storeRegister: 0x63,
} as const
const Jump = { beyond: 0x2d, greater64: 0x25, equal: 0x16, notEqual: 0x56 } as const
/** Where helpers load to: eight bytes below the scratch memory, whose cells have four each. */
const buffer = -4 * cells - 8
/** The verifier's limit for packet offsets (MAX_PACKET_OFF); no frame is longer. */
const farthest = 0xffff
/** enum xdp_action */
const xdpPass = 2

/**
 * Instructions that pass the frame to the kernel (XDP_PASS) unless the filter accepts it.
 *
 * @param program four numbers for each instruction, as {@link compileFilter} returns it for a 'wire'
 * @param matched what to do with an accepted frame: it finds the context in r6 and must end with an exit
 * @param helpers whether the kernel has the helper functions that read multi-buffer frames
 * @throws VerbsError ENOTSUP that names the metadata which XDP lacks
 */
export function xdpFilter(
  program: Uint32Array,
  matched: readonly XdpInstruction[],
  expression: string,
  helpers = seesWholeFrames(),
): XdpInstruction[] {
  refuseMetadata(program, expression, 'XDP')
  const assembler = new XdpAssembler()
  new Translation(assembler, program, helpers).all()
  if (assembler.label('none')) assembler.emit(move(Register.result, xdpPass), exit())
  if (assembler.label('match')) assembler.emit(...matched)
  const instructions = assembler.instructions()
  if (!instructions) {
    throw rangeError(
      'options.filter',
      'a filter of at most 32767 XDP instructions (a simpler one)',
      expression,
    )
  }
  return instructions
}

/** Whether the kernel is Linux 5.18 or later. */
function seesWholeFrames(): boolean {
  const [major, minor] = release().split('.').map(Number)
  return major > 5 || (major === 5 && minor >= 18)
}

class Translation {
  readonly #assembler: XdpAssembler
  readonly #program: Uint32Array
  readonly #helpers: boolean

  constructor(assembler: XdpAssembler, program: Uint32Array, helpers: boolean) {
    this.#assembler = assembler
    this.#program = program
    this.#helpers = helpers
  }

  all(): void {
    this.#begin()
    let reached = true
    for (let i = 0; i * 4 < this.#program.length; i++) {
      const [code, whenTrue, whenFalse, k] = this.#program.subarray(i * 4, i * 4 + 4)
      // The verifier rejects unreachable instructions.
      if (!this.#assembler.label(placeOf(i)) && !reached) continue
      reached = true
      switch (code & 7) {
        case Class.load:
          reached = this.#load(code, k)
          break
        case Class.loadIndex:
          reached = this.#loadIndex(code, k)
          break
        case Class.store:
        case Class.storeIndex:
          this.#emit(Op.storeRegister, Register.frame, this.#of(code, Class.store), cellAt(k))
          break
        case Class.alu:
          reached = this.#calculate(code, k)
          break
        case Class.jump:
          if (code === Code.jumpAlways) this.#assembler.go(placeOf(i + 1 + k))
          else this.#branch(code, k, i, whenTrue, whenFalse)
          reached = code !== Code.jumpAlways && Math.min(whenTrue, whenFalse) === 0
          break
        case Class.return:
          this.#return(code, k)
          reached = false
          break
        default:
          if (code === Code.indexFromA) this.#emit(Op.move, Register.x, Register.a)
          else this.#emit(Op.move, Register.a, Register.x)
      }
    }
  }

  #begin(): void {
    const codes = this.#program.filter((_, i) => i % 4 === 0)
    const asks = (...wanted: number[]): boolean => codes.some((code) => wanted.includes(code))
    if (asks(Class.load | Mode.length, Class.loadIndex | Mode.length)) {
      if (this.#helpers) {
        this.#emit(Op.move64, 1, Register.context)
        this.#assembler.emit(call(Helper.frameLength))
        this.#emit(Op.move, Register.length, Register.result)
        this.#point()
      } else {
        this.#point()
        this.#emit(Op.move64, Register.length, Register.end)
        this.#emit(Op.subtractRegister64, Register.length, Register.packet)
      }
    } else {
      this.#point()
    }
    this.#emit(Op.moveImmediate, Register.a)
    this.#emit(Op.moveImmediate, Register.x)
    const used = new Set<number>()
    for (let at = 0; at < this.#program.length; at += 4) {
      const kind = this.#program[at] & 7
      const reads = kind <= Class.loadIndex && (this.#program[at] & 0xe0) === Mode.memory
      if (reads || kind === Class.store || kind === Class.storeIndex) used.add(this.#program[at + 3])
    }
    for (const cell of used) this.#emit(Op.store, Register.frame, 0, cellAt(cell))
  }

  /** Loads the bounds of the frame's first buffer: a helper call invalidates them. */
  #point(): void {
    this.#assembler.emit(
      load(4, Register.packet, Register.context, Context.data),
      load(4, Register.end, Register.context, Context.dataEnd),
    )
  }

  /** Returns whether execution goes on. */
  #load(code: number, k: number): boolean {
    const mode = code & 0xe0
    if (mode === Mode.immediate) this.#emit(Op.moveImmediate, Register.a, 0, 0, k)
    else if (mode === Mode.memory) this.#assembler.emit(load(4, Register.a, Register.frame, cellAt(k)))
    else if (mode === Mode.length) this.#emit(Op.move, Register.a, Register.length)
    else return this.#loadFrame(sizeOf(code), mode === Mode.indexed, k, Register.a)
    return true
  }

  /** Returns whether execution goes on. */
  #loadIndex(code: number, k: number): boolean {
    const mode = code & 0xe0
    if (mode === Mode.immediate) this.#emit(Op.moveImmediate, Register.x, 0, 0, k)
    else if (mode === Mode.memory) this.#assembler.emit(load(4, Register.x, Register.frame, cellAt(k)))
    else if (mode === Mode.length) this.#emit(Op.move, Register.x, Register.length)
    else {
      if (!this.#loadFrame(1, false, k, Register.x)) return false
      this.#emit(Op.and, Register.x, 0, 0, 0x0f)
      this.#emit(Op.shiftLeft, Register.x, 0, 0, 2)
    }
    return true
  }

  /** Loads the big-endian number at offset k, or X + k; jumps to `none` where the frame ends before it. */
  #loadFrame(size: 1 | 2 | 4, indexed: boolean, k: number, into: number): boolean {
    const assembler = this.#assembler
    const { place, offset, packet, end, result } = Register
    if (k + size > farthest) {
      assembler.go('none')
      return false
    }
    if (indexed) {
      this.#emit(Op.move, offset, Register.x)
      this.#emit(Op.add64, offset, 0, 0, k)
      assembler.jump(Jump.greater64, offset, farthest - size, 'none')
      this.#emit(Op.move64, place, packet)
      this.#emit(Op.addRegister64, place, offset)
    } else {
      assembler.point(place, packet, k)
    }
    assembler.point(result, place, size)
    assembler.jump(Jump.beyond, result, { register: end }, this.#helpers ? 'elsewhere' : 'none')
    assembler.number(size, into, place, 0)
    if (!this.#helpers) return true
    assembler.go('loaded')
    assembler.label('elsewhere')
    if (indexed) this.#emit(Op.move64, 2, offset)
    else assembler.emit(move(2, k))
    this.#emit(Op.move64, 1, Register.context)
    assembler.point(3, Register.frame, buffer)
    assembler.emit(move(4, size), call(Helper.loadBytes))
    assembler.jump(Jump.notEqual, result, 0, 'none')
    this.#point()
    assembler.number(size, into, Register.frame, buffer)
    assembler.label('loaded')
    return true
  }

  /** Returns whether execution goes on. */
  #calculate(code: number, k: number): boolean {
    const operation = code & 0xf0
    const divides = operation === Operation.divide || operation === Operation.modulo
    if (code & operandX) {
      if (divides) this.#assembler.jump(Jump.equal, Register.x, 0, 'none')
      this.#emit(code, Register.a, Register.x)
    } else {
      if (divides && k === 0) {
        this.#assembler.go('none')
        return false
      }
      // Classic BPF and 32-bit eBPF share these codes.
      this.#emit(code, Register.a, 0, 0, operation === Operation.negate ? 0 : k)
    }
    return true
  }

  #branch(code: number, k: number, at: number, whenTrue: number, whenFalse: number): void {
    // The same code in another class: BPF_JMP32 instead of BPF_JMP.
    const against = code & operandX ? { register: Register.x } : k
    const onTrue = placeOf(at + 1 + whenTrue)
    this.#assembler.jump(code + 1, Register.a, against, onTrue)
    if (whenFalse !== 0) this.#assembler.go(placeOf(at + 1 + whenFalse))
  }

  #return(code: number, k: number): void {
    if (code === Code.returnA) {
      this.#assembler.jump(Jump.notEqual, Register.a, 0, 'match')
      this.#assembler.go('none')
    } else {
      this.#assembler.go(k === 0 ? 'none' : 'match')
    }
  }

  /** The register that a code of this class addresses (A), or of the class after it (X). */
  #of(code: number, kind: number): number {
    return (code & 7) === kind ? Register.a : Register.x
  }

  #emit(code: number, destination: number, source = 0, offset = 0, immediate = 0): void {
    this.#assembler.emit({ code, destination, source, offset, immediate })
  }
}

function placeOf(index: number): string {
  return `instruction ${index}`
}

/** Offset of a scratch memory cell from the end of the program's stack. */
function cellAt(cell: number): number {
  return -4 * (cell + 1)
}
