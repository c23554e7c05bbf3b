/**
 * The frames that an AF_XDP socket takes from the kernel, as an eBPF program (linux/bpf.h; RFC 9669): it redirects the
 * frames that the queue accepts to the socket of the receive queue on which they arrived, and passes all others to the
 * kernel.
 */

import type { Alternative } from '../../flow/alternative.js'
import { redirectToSocket, xdpFlowProgram } from '../../flow/xdp.js'
import { encode as encodeInstructions, type XdpInstruction } from '../../flow/xdp-assembler.js'
import type { Accepted } from '../af-packet/accept.js'

/** Opcodes of RFC 9669 */
const Code = {
  load32: 0x61, // dst = *(u32 *)(src + offset)
  load16: 0x69,
  load8: 0x71,
  loadMap: 0x18, // two instructions
  move: 0xb7, // dst = immediate
  moveRegister: 0xbf,
  add: 0x07,
  and: 0x57,
  jumpGreater: 0x2d, // if dst > src
  jumpNotEqual32: 0x56, // if (u32) dst != immediate
  jumpEqual32: 0x16,
  jump: 0x05,
  call: 0x85,
  exit: 0x95,
} as const
/** struct xdp_md */
const Context = { data: 0, dataEnd: 4, queue: 16 } as const
const mapDescriptor = 1 // BPF_PSEUDO_MAP_FD
const redirectMap = 51 // BPF_FUNC_redirect_map
const pass = 2 // XDP_PASS
const headerBytes = 14

const littleEndian = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1

type Instruction = [code: number, destination: number, source: number, offset: number, immediate: number]
/** A jump whose target address is not set yet. */
type Jump = { at: number; to: 'redirect' | 'pass' }

/** The frames that a queue accepts. */
export interface XdpAccepted extends Accepted {
  own: Uint8Array
  /** Flow rules that the accepted frames must also match; undefined: all of them. */
  flows: Alternative[] | undefined
  /**
   * A filter that they must pass as well: it calls {@link redirectToSocket}(0) for each match, with the context in r6.
   */
  filter: readonly XdpInstruction[] | undefined
  /** Whether VLAN tags are in the frame, not stripped by the device. */
  vlanInFrame: boolean
  /** The least number of bytes in a frame's first buffer. */
  firstBuffer: number
}

/** The program, two numbers an instruction (struct bpf_insn). */
export function xdpProgram(accepted: XdpAccepted): Uint32Array {
  const program: Instruction[] = []
  const jumps: Jump[] = []
  const jump = (to: Jump['to'], code: number, destination = 0, source = 0, immediate = 0): void => {
    jumps.push({ at: program.length, to })
    program.push([code, destination, source, 0, immediate])
  }
  if (!accepted.promiscuous) {
    // The verifier lets a program read only the bytes that it has compared with the end of the frame.
    program.push(
      [Code.load32, 2, 1, Context.data, 0],
      [Code.load32, 3, 1, Context.dataEnd, 0],
      [Code.moveRegister, 4, 2, 0, 0],
      [Code.add, 4, 0, 0, headerBytes],
    )
    jump('pass', Code.jumpGreater, 4, 3)
    program.push([Code.load32, 4, 2, 0, 0], [Code.load16, 5, 2, 4, 0])
    for (const address of [accepted.own, new Uint8Array(6).fill(0xff), ...accepted.groups]) {
      program.push([Code.jumpNotEqual32, 4, 0, 1, word(address)])
      jump('redirect', Code.jumpEqual32, 5, 0, half(address, 4))
    }
    if (accepted.allMulticast) {
      program.push([Code.load8, 4, 2, 0, 0], [Code.and, 4, 0, 0, 1])
      jump('redirect', Code.jumpNotEqual32, 4, 0, 0)
    }
    jump('pass', Code.jump)
  }
  const { filter } = accepted
  const redirect = accepted.flows ? [] : encode(filter ? [contextFromR1] : redirectBlock)
  const flows = accepted.flows
    ? xdpFlowProgram(
        accepted.flows,
        {
          matched: filter ?? redirectToSocket(0),
          vlanInFrame: accepted.vlanInFrame,
          firstBuffer: accepted.firstBuffer,
        },
        'options.flows',
      )
    : encodeInstructions(filter ?? [])
  const taking = new Uint32Array([
    ...redirect,
    ...new Uint32Array(flows.buffer, flows.byteOffset, flows.length / 4),
  ])
  const targets = { redirect: program.length, pass: program.length + taking.length / 2 }
  for (const { at, to } of jumps) program[at][3] = targets[to] - at - 1
  const passing: Instruction[] = jumps.some(({ to }) => to === 'pass')
    ? [
        [Code.move, 0, 0, 0, pass],
        [Code.exit, 0, 0, 0, 0],
      ]
    : []
  return new Uint32Array([...encode(program), ...taking, ...encode(passing)])
}

/** Redirects to the socket at this receive queue's place in the map. */
const redirectBlock: Instruction[] = [
  [Code.load32, 2, 1, Context.queue, 0],
  [Code.loadMap, 1, mapDescriptor, 0, 0], // the binding inserts the map's descriptor
  [0, 0, 0, 0, 0],
  [Code.move, 3, 0, 0, pass], // the action when the map has no socket for this queue
  [Code.call, 0, 0, 0, redirectMap],
  [Code.exit, 0, 0, 0, 0],
]

const contextFromR1: Instruction = [Code.moveRegister, 6, 1, 0, 0]

function encode(program: Instruction[]): Uint32Array {
  const bytes = new DataView(new ArrayBuffer(program.length * 8))
  for (const [i, [code, destination, source, offset, immediate]] of program.entries()) {
    bytes.setUint8(i * 8, code)
    bytes.setUint8(i * 8 + 1, littleEndian ? (source << 4) | destination : (destination << 4) | source)
    bytes.setInt16(i * 8 + 2, offset, littleEndian)
    bytes.setInt32(i * 8 + 4, immediate | 0, littleEndian)
  }
  return new Uint32Array(bytes.buffer)
}

/** Four bytes and two, as this machine's load instructions read them. */
function word(address: Uint8Array): number {
  return new DataView(address.buffer, address.byteOffset).getUint32(0, littleEndian)
}
function half(bytes: Uint8Array, at: number): number {
  return littleEndian ? bytes[at] | (bytes[at + 1] << 8) : (bytes[at] << 8) | bytes[at + 1]
}
