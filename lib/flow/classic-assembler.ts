/** ja: jumps by a 32-bit offset */
const jumpAlways = 0x05
/** Conditional jumps have 8-bit offsets. */
const farthest = 255

interface Instruction {
  code: number
  k: number
  /** Ids of the labels for true and false; −1 continues with the next instruction. */
  whenTrue: number
  whenFalse: number
  /** Whether a long jump behind it is taken, because the label is out of reach of 8 bits. */
  farTrue: boolean
  farFalse: boolean
}

/**
 * Assembles classic BPF, with forward jumps by name. A name refers to the next place where it is set, and may be set and
 * used again.
 */
export class ClassicAssembler {
  readonly #instructions: Instruction[] = []
  /** Position of each label, in instructions. */
  readonly #places: number[] = []
  /** For names that jumps refer to and that are not set yet: the label's id. */
  readonly #awaited = new Map<string, number>()
  #unique = 0

  /** A new id. */
  unique(): number {
    return this.#unique++
  }

  emit(code: number, k = 0): void {
    this.#push(code, k, -1, -1)
  }

  /** A conditional jump; undefined continues with the next instruction. */
  jump(code: number, k: number, whenTrue: string | undefined, whenFalse: string | undefined): void {
    this.#push(code, k, this.#await(whenTrue), this.#await(whenFalse))
  }

  go(name: string): void {
    this.#push(jumpAlways, 0, this.#await(name), -1)
  }

  /** Resolves all open jumps to this name to the next instruction. */
  label(name: string): void {
    const id = this.#awaited.get(name)
    if (id === undefined) return
    this.#places[id] = this.#instructions.length
    this.#awaited.delete(name)
  }

  /** The program, four numbers (code, jt, jf, k) for each instruction. */
  assemble(): Uint32Array {
    if (this.#awaited.size > 0) throw new Error(`labels never set: ${[...this.#awaited.keys()].join(', ')}`)
    // A long jump lengthens the program, which may put other labels out of reach: repeat until nothing changes.
    let positions = this.#positions()
    while (this.#extend(positions)) positions = this.#positions()

    const program: number[] = []
    for (const [i, { code, k, whenTrue, whenFalse, farTrue, farFalse }] of this.#instructions.entries()) {
      const at = positions[i]
      const distance = (label: number, from: number): number => positions[this.#places[label]] - from - 1
      if (code === jumpAlways) {
        program.push(code, 0, 0, distance(whenTrue, at))
        continue
      }
      // The long jumps follow, that for true first; fall-through skips both.
      const on = Number(farTrue) + Number(farFalse)
      const short = (label: number, far: boolean, farAt: number): number =>
        label < 0 ? on : far ? farAt : distance(label, at)
      const isJump = whenTrue >= 0 || whenFalse >= 0
      program.push(
        code,
        isJump ? short(whenTrue, farTrue, 0) : 0,
        isJump ? short(whenFalse, farFalse, Number(farTrue)) : 0,
        k,
      )
      if (farTrue) program.push(jumpAlways, 0, 0, distance(whenTrue, at + 1))
      if (farFalse) program.push(jumpAlways, 0, 0, distance(whenFalse, at + 1 + Number(farTrue)))
    }
    return Uint32Array.from(program)
  }

  #push(code: number, k: number, whenTrue: number, whenFalse: number): void {
    this.#instructions.push({ code, k: k >>> 0, whenTrue, whenFalse, farTrue: false, farFalse: false })
  }

  #await(name: string | undefined): number {
    if (name === undefined) return -1
    const known = this.#awaited.get(name)
    if (known !== undefined) return known
    this.#places.push(-1)
    this.#awaited.set(name, this.#places.length - 1)
    return this.#places.length - 1
  }

  #positions(): number[] {
    let position = 0
    const positions = this.#instructions.map(({ farTrue, farFalse }) => {
      const at = position
      position += 1 + Number(farTrue) + Number(farFalse)
      return at
    })
    return [...positions, position]
  }

  /** Adds the long jumps that became necessary; returns whether there were any. */
  #extend(positions: number[]): boolean {
    let changed = false
    const isFar = (label: number, at: number): boolean =>
      label >= 0 && positions[this.#places[label]] - at - 1 > farthest
    for (const [i, instruction] of this.#instructions.entries()) {
      if (instruction.code === jumpAlways) continue
      const farTrue = instruction.farTrue || isFar(instruction.whenTrue, positions[i])
      const farFalse = instruction.farFalse || isFar(instruction.whenFalse, positions[i])
      changed ||= farTrue !== instruction.farTrue || farFalse !== instruction.farFalse
      instruction.farTrue = farTrue
      instruction.farFalse = farFalse
    }
    return changed
  }
}
