import { inspect } from 'node:util'
import { instance, integer } from '../argument.js'
import { runClassic } from './classic.js'
import { compileFilter, filterArgument } from './compile.js'

/**
 * A filter in the syntax of pcap-filter(7), for frames in memory: it matches what `tcpdump -r` matches. libpcap compiles it
 * and must be installed (Debian: libpcap0.8).
 *
 * For the frames of an interface see the option `filter` of {@link PacketQueue.open}: there the kernel, or the XDP program,
 * filters before the queue receives.
 */
export class PacketFilter {
  readonly expression: string
  readonly #program: Uint32Array

  /**
   * @param expression such as 'udp port 53'; an empty one matches every frame
   * @throws Error ERR_IBVERBS_FILTER in libpcap's own words, VerbsError ENOSYS where it is not installed, TypeError
   */
  constructor(expression: string) {
    this.expression = filterArgument('expression', expression)
    this.#program = compileFilter(this.expression, 'file')
  }

  /**
   * Whether the filter matches a frame.
   *
   * @param frame from the destination address on
   * @param originalLength of the frame on the wire, where only a part of it was captured: what `len`, `less` and `greater`
   *   compare
   */
  matches(frame: Uint8Array, originalLength?: number): boolean {
    instance('frame', frame, Uint8Array)
    const length = originalLength === undefined ? frame.length : originalLength
    if (length !== frame.length) integer('originalLength', length, 0, 0xffffffff)
    return runClassic(this.#program, frame, 0, frame.length, length) !== 0
  }

  /** The classic BPF program, four numbers (code, jt, jf, k) for each instruction: a copy. */
  get program(): Uint32Array {
    return this.#program.slice()
  }

  [inspect.custom](): string {
    return `PacketFilter ${JSON.stringify(this.expression)} (${this.#program.length / 4} instructions)`
  }
}
