/**
 * The kernel's verifier accepts the XDP programs of flow rules, and the kernel runs them with the results of a plain
 * reference.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FlowRule } from 'ibverbs/ethernet'
import { afterAll, describe, expect, test } from 'vitest'
import { flowsArgument } from '../../dist/flow/normalize.js'
import { redirectToSocket, xdpFlowProgram } from '../../dist/flow/xdp.js'
import { execFileSync, spawnSync } from '../beds/child.js'
import { drop, pass, seesAll, xdp } from '../flow/programs.js'
import { cases, matches } from '../flow/rules.js'
import { programPath } from './program.js'

describe('the kernel', () => {
  const nothing: FlowRule = { vlan: 4000 }
  const folder = mkdtempSync(join(tmpdir(), 'ibverbs-xdp-'))
  const runner = join(folder, 'xdp-run')
  afterAll(() => rmSync(folder, { recursive: true }))
  execFileSync('cc', ['-O1', '-o', runner, programPath('xdp-run.c')])

  function input(program: Uint8Array, frames: Uint8Array[]): Uint8Array[] {
    const word = (value: number): Uint8Array => new Uint8Array(Uint32Array.of(value).buffer)
    return [
      word(program.length),
      program,
      word(frames.length),
      ...frames.flatMap((frame) => [word(frame.length), frame]),
    ]
  }
  const run = (parts: Uint8Array[]) => {
    const { status, stdout, stderr } = spawnSync(runner, { input: Buffer.concat(parts), maxBuffer: 2 ** 26 })
    return { status, answers: [...new Uint32Array(Uint8Array.from(stdout).buffer)], log: stderr.toString() }
  }
  // Without CAP_BPF in the machine's own user namespace no program loads: the interpreter then has to do.
  const permitted = run(input(xdp([{}]), [])).status !== 3

  // Vitest runs no hook where every test is skipped.
  if (!permitted) rmSync(folder, { recursive: true })

  test.skipIf(!permitted)('verifies the XDP programs and answers as the rules say', () => {
    // BPF_PROG_TEST_RUN requires at least an Ethernet header.
    const near = ({ bytes = [] }: FlowRule): boolean => bytes.every(({ offset }) => offset < 1000)
    const all = cases(5, 300, 20, 14).map(({ rules, frames }) => ({
      rules: [...rules.filter(near), nothing],
      frames,
    }))
    const { status, answers, log } = run(all.flatMap(({ rules, frames }) => input(xdp(rules), frames)))
    expect({ status, log }).toEqual({ status: 0, log: '' })
    const expected = all.flatMap(({ rules, frames }) =>
      frames.map((frame) => (rules.some((rule) => matches(rule, frame)) ? drop : pass)),
    )
    expect(answers).toEqual(expected)
  })

  test.skipIf(!permitted)(
    'verifies the redirection to a socket; without a socket, the kernel keeps the frame',
    () => {
      const [{ rules, frames }] = cases(6, 1, 20, 14)
      const options = { ...seesAll, matched: redirectToSocket(0) }
      const program = xdpFlowProgram(flowsArgument('flows', [...rules, {}]), options)
      expect(run(input(program, frames))).toEqual({ status: 0, answers: frames.map(() => pass), log: '' })
    },
  )
})
