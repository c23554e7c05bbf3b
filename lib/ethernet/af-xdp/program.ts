/**
 * Which frames an AF_XDP socket takes from the kernel, as an eBPF program (linux/bpf.h; RFC 9669): those that the queue
 * accepts are redirected to it by the number of the receive queue that they came on, all others go on to the kernel.
 */

import type { Alternative } from '../../flow/alternative.js'
import { redirectToSocket, xdpFlowProgram } from '../../flow/xdp.js'
import { encode as encodeInstructions, type XdpInstruction } from '../../flow/xdp-assembler.js'
import type { Accepted } from '../af-packet/accept.js'

/** Opcodes, of RFC 9669 */
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
/** A jump whose target is not known yet. */
type Jump = { at: number; to: 'redirect' | 'pass' }

/** What a queue wants to see. */
export interface XdpAccepted extends Accepted {
  own: Uint8Array
  /** Of the frames that are accepted, those that the queue wants; all when undefined. */
  flows: Alternative[] | undefined
  /** And of those, the ones that a filter lets through to {@link redirectToSocket}(0), with the context in r6. */
  filter: readonly XdpInstruction[] | undefined
  /** Whether VLAN tags are in the frame, not taken out by the device. */
  vlanInFrame: boolean
  /** Bytes that a frame's first buffer is sure to hold. */
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
    // The verifier lets a program read what it has compared with the end of the frame.
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

/** To the socket in the map's place of this receive queue. */
const redirectBlock: Instruction[] = [
  [Code.load32, 2, 1, Context.queue, 0],
  [Code.loadMap, 1, mapDescriptor, 0, 0], // the binding puts the descriptor in
  [0, 0, 0, 0, 0],
  [Code.move, 3, 0, 0, pass], // what to do when nobody has this queue
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

/** Four bytes and two, as a load of this machine's sees them. */
function word(address: Uint8Array): number {
  return new DataView(address.buffer, address.byteOffset).getUint32(0, littleEndian)
}
function half(bytes: Uint8Array, at: number): number {
  return littleEndian ? bytes[at] | (bytes[at + 1] << 8) : (bytes[at] << 8) | bytes[at + 1]
}
