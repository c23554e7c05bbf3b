/** Interpreters of the two kinds of BPF, from their specifications, to run many programs on many frames. */

/** Metadata that the kernel keeps beside a frame. */
export interface Metadata {
  /** control information of the stripped VLAN tag */
  tag?: number
  /** its type; 0x8100 by default */
  tagType?: number
  /** sll_pkttype */
  packetType?: number
}

/**
 * Classic BPF as in Documentation/networking/filter.rst: returns the program's result. Throws where the kernel would
 * refuse the program: an unknown instruction, a jump out of the program, an uninitialized cell.
 */
export function runClassic(program: Uint32Array, frame: Uint8Array, metadata: Metadata = {}): number {
  const memory = new Array<number | undefined>(16).fill(undefined)
  let [a, x, at] = [0, 0, 0]
  const load = (from: number, size: number): number | undefined => {
    if (from === 0xfffff004) return metadata.packetType ?? 0
    if (from === 0xfffff02c) return metadata.tag ?? 0
    if (from === 0xfffff03c) return metadata.tagType ?? 0x8100
    if (from === 0xfffff030) return metadata.tag === undefined ? 0 : 1
    if (from + size > frame.length) return undefined
    return frame.subarray(from, from + size).reduce((sum, byte) => sum * 256 + byte, 0)
  }
  const cell = (k: number): number => {
    const value = memory[k]
    if (value === undefined) throw new Error(`cell ${k} was never written`)
    return value
  }
  for (;;) {
    if (at * 4 >= program.length) throw new Error('the program has no end')
    const [code, jt, jf, k] = program.subarray(at * 4, at * 4 + 4)
    at++
    if (code > 0xffff || jt > 255 || jf > 255) throw new Error('a field does not hold its number')
    const size = { 0: 4, 8: 2, 16: 1 }[code & 0x18] as number
    if ((code & 7) === 0 && ((code & 0xe0) === 0x20 || (code & 0xe0) === 0x40)) {
      const value = load((code & 0xe0) === 0x40 ? x + k : k, size)
      if (value === undefined) return 0
      a = value
    } else if (code === 0x80) a = frame.length
    else if (code === 0x00) a = k
    else if (code === 0x60) a = cell(k)
    else if (code === 0x61) x = cell(k)
    else if (code === 0x02) memory[k] = a
    else if (code === 0x07) x = a
    else if (code === 0x87) a = x
    else if (code === 0x04) a = (a + k) >>> 0
    else if (code === 0x0c) a = (a + x) >>> 0
    else if (code === 0x54) a = (a & k) >>> 0
    else if (code === 0x64) a = (a << k) >>> 0
    else if (code === 0x05) at += k
    else if ((code & 7) === 5) {
      const operand = code & 8 ? x : k
      const tests: Record<number, boolean> = {
        16: a === operand,
        32: a > operand,
        48: a >= operand,
        64: (a & operand) !== 0,
      }
      at += tests[code & 0xf0] ? jt : jf
    } else if (code === 0x06) return k
    else throw new Error(`unknown instruction 0x${code.toString(16)}`)
  }
}

/**
 * eBPF (RFC 9669), as much as the compiler uses of it, on a little-endian machine: r0 at the end. Throws for an access
 * outside of the frame, an uninitialized register and an unknown instruction.
 */
export function runXdp(program: Uint8Array, frame: Uint8Array): number {
  const view = new DataView(program.buffer, program.byteOffset, program.byteLength)
  const [context, data] = [0x1000, 0x100000]
  const end = data + frame.length
  const registers = new Array<number>(11).fill(Number.NaN)
  registers[1] = context
  const read = (from: number, size: number): number => {
    if (from === context && size === 4) return data
    if (from === context + 4 && size === 4) return end
    if (!(from >= data && from + size <= end)) throw new Error(`reads ${size} bytes at ${from - data}`)
    return frame.subarray(from - data, from - data + size).reduceRight((sum, byte) => sum * 256 + byte, 0)
  }
  for (let at = 0; at * 8 < program.length; ) {
    const code = view.getUint8(at * 8)
    const d = view.getUint8(at * 8 + 1) & 15
    const s = view.getUint8(at * 8 + 1) >> 4
    const offset = view.getInt16(at * 8 + 2, true)
    const immediate = view.getInt32(at * 8 + 4, true)
    const unsigned = immediate >>> 0
    at++
    const jumps: Record<number, () => boolean> = {
      5: () => true,
      22: () => registers[d] === unsigned,
      38: () => registers[d] > unsigned,
      166: () => registers[d] < unsigned,
      86: () => registers[d] !== unsigned,
      70: () => (registers[d] & unsigned) !== 0,
      45: () => registers[d] > registers[s],
    }
    if (code === 0x95) return registers[0]
    if (jumps[code]) {
      if (code !== 5 && Number.isNaN(registers[d])) throw new Error(`r${d} was never written`)
      if (jumps[code]()) at += offset
    } else if (code === 0x71) registers[d] = read(registers[s] + offset, 1)
    else if (code === 0x69) registers[d] = read(registers[s] + offset, 2)
    else if (code === 0x61) registers[d] = read(registers[s] + offset, 4)
    else if (code === 0xbf) registers[d] = registers[s]
    else if (code === 0xb7) registers[d] = immediate
    else if (code === 0x07) registers[d] += immediate
    else if (code === 0x0f) registers[d] += registers[s]
    else if (code === 0x54) registers[d] = (registers[d] & immediate) >>> 0
    else if (code === 0x64) registers[d] = (registers[d] << immediate) >>> 0
    else if (code === 0xdc) {
      const bytes = new DataView(new ArrayBuffer(4))
      bytes.setUint32(0, registers[d] >>> 0, true)
      registers[d] = immediate === 16 ? bytes.getUint16(0) : bytes.getUint32(0)
    } else throw new Error(`unknown instruction 0x${code.toString(16)}`)
  }
  throw new Error('the program has no end')
}
