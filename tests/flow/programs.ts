/** The programs of flow rules, as the tests compile them. */
import type { FlowRule } from 'ibverbs/ethernet'
import { classicProgram } from '../../dist/flow/classic.js'
import { flowsArgument } from '../../dist/flow/normalize.js'
import { xdpFlowProgram } from '../../dist/flow/xdp.js'
import { exit, move } from '../../dist/flow/xdp-assembler.js'

/** Results of the XDP programs: a frame that matches is dropped, to tell it from the others. */
export const [drop, pass] = [1, 2]
const matched = [move(0, drop), exit()]
/** A device whose programs see every frame whole, with its VLAN tag. */
export const seesAll = { matched, vlanInFrame: true, firstBuffer: 2 ** 20 }

export const classic = (rules: FlowRule[]): Uint32Array => classicProgram(flowsArgument('flows', rules))
export const xdp = (rules: FlowRule[], options = {}): Uint8Array =>
  xdpFlowProgram(flowsArgument('flows', rules), { ...seesAll, ...options })
