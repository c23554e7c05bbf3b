/** Classic BPF (linux/filter.h, linux/bpf_common.h): its instructions, and an interpreter for them. */

/** The fields of an instruction's code. */
export const Class = {
  load: 0,
  loadIndex: 1,
  store: 2,
  storeIndex: 3,
  alu: 4,
  jump: 5,
  return: 6,
  misc: 7,
} as const
export const Mode = {
  immediate: 0x00,
  absolute: 0x20,
  indexed: 0x40,
  memory: 0x60,
  length: 0x80,
  header: 0xa0,
} as const
export const Operation = {
  add: 0x00,
  subtract: 0x10,
  multiply: 0x20,
  divide: 0x30,
  or: 0x40,
  and: 0x50,
  shiftLeft: 0x60,
  shiftRight: 0x70,
  negate: 0x80,
  modulo: 0x90,
  exclusiveOr: 0xa0,
} as const
const Condition = { always: 0x00, equal: 0x10, greater: 0x20, atLeast: 0x30, anyBit: 0x40 } as const
/** Whole codes. */
export const Code = {
  jumpAlways: 0x05,
  return: 0x06,
  returnA: 0x16,
  indexFromA: 0x07,
  aFromIndex: 0x87,
} as const
/** BPF_X: the operand is X, not k. */
export const operandX = 0x08
/** Cells of the scratch memory (BPF_MEMWORDS). */
export const cells = 16
/** From here on (SKF_LL_OFF and above), an offset names metadata that the kernel keeps beside the frame. */
export const firstMetadata = 0xffe00000

/** Size of a load in bytes. */
export function sizeOf(code: number): 1 | 2 | 4 {
  return (code & 0x18) === 0x10 ? 1 : (code & 0x18) === 0x08 ? 2 : 4
}

const memory = new Uint32Array(cells)

/**
 * Runs the program on a frame and returns its result, as libpcap's interpreter (bpf_filter) does: a load beyond the captured
 * bytes and a division by zero return 0; a shift by 32 or more yields 0.
 *
 * @param bytes holds the frame, from `start` on
 * @param captured how many bytes of it are there
 * @param length of the frame on the wire
 */
export function runClassic(
  program: Uint32Array,
  bytes: Uint8Array,
  start: number,
  captured: number,
  length: number,
): number {
  memory.fill(0)
  let a = 0
  let x = 0
  for (let at = 0; at < program.length; at += 4) {
    const code = program[at]
    const k = program[at + 3]
    switch (code & 7) {
      case Class.load: {
        const mode = code & 0xe0
        if (mode === Mode.immediate) a = k
        else if (mode === Mode.memory) a = memory[k]
        else if (mode === Mode.length) a = length
        else {
          // The sum of two 32-bit numbers is exact here, so an overflow lies beyond the end.
          const offset = mode === Mode.indexed ? x + k : k
          const size = sizeOf(code)
          if (offset + size > captured) return 0
          a = bytes[start + offset]
          for (let i = 1; i < size; i++) a = a * 256 + bytes[start + offset + i]
        }
        break
      }
      case Class.loadIndex: {
        const mode = code & 0xe0
        if (mode === Mode.immediate) x = k
        else if (mode === Mode.memory) x = memory[k]
        else if (mode === Mode.length) x = length
        else {
          if (k >= captured) return 0
          x = (bytes[start + k] & 0x0f) << 2
        }
        break
      }
      case Class.store:
        memory[k] = a
        break
      case Class.storeIndex:
        memory[k] = x
        break
      case Class.alu: {
        const operation = code & 0xf0
        const operand = code & operandX ? x : k
        if (operand === 0 && (operation === Operation.divide || operation === Operation.modulo)) return 0
        a = calculate(operation, a, operand)
        break
      }
      case Class.jump: {
        const operand = code & operandX ? x : k
        const condition = code & 0xf0
        if (condition === Condition.always) at += (k | 0) * 4
        else at += 4 * (holds(condition, a, operand) ? program[at + 1] : program[at + 2])
        break
      }
      case Class.return:
        return code === Code.returnA ? a : k
      default:
        if (code === Code.indexFromA) x = a
        else a = x
    }
  }
  throw new Error('the filter program has no end')
}

function calculate(operation: number, a: number, operand: number): number {
  switch (operation) {
    case Operation.add:
      return (a + operand) >>> 0
    case Operation.subtract:
      return (a - operand) >>> 0
    case Operation.multiply:
      return Math.imul(a, operand) >>> 0
    case Operation.divide:
      return Math.floor(a / operand)
    case Operation.modulo:
      return a % operand
    case Operation.or:
      return (a | operand) >>> 0
    case Operation.and:
      return (a & operand) >>> 0
    case Operation.exclusiveOr:
      return (a ^ operand) >>> 0
    case Operation.shiftLeft:
      return operand < 32 ? (a << operand) >>> 0 : 0
    case Operation.shiftRight:
      return operand < 32 ? a >>> operand : 0
    default:
      return -a >>> 0
  }
}

function holds(condition: number, a: number, operand: number): boolean {
  switch (condition) {
    case Condition.equal:
      return a === operand
    case Condition.greater:
      return a > operand
    case Condition.atLeast:
      return a >= operand
    default:
      return (a & operand) !== 0
  }
}
