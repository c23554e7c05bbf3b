/** Flow rules: what they refuse, and what their programs match, against a plain reading of the rules. */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FlowRule } from 'ibverbs/ethernet'
import { afterAll, describe, expect, test } from 'vitest'
import { both, classicProgram } from '../../dist/flow/classic.js'
import { ClassicAssembler } from '../../dist/flow/classic-assembler.js'
import { flowsArgument } from '../../dist/flow/normalize.js'
import { redirectToSocket, xdpFlowProgram } from '../../dist/flow/xdp.js'
import { exit, move } from '../../dist/flow/xdp-assembler.js'
import { execFileSync, spawnSync } from '../beds/child.js'
import { runClassic, runXdp } from './bpf.js'
import { Chance, matches, randomFrame, randomRule } from './flows.js'
import { programPath } from './program.js'

const [drop, pass] = [1, 2]
const matched = [move(0, drop), exit()]
const seesAll = { matched, vlanInFrame: true, firstBuffer: 2 ** 20 }

const classic = (rules: FlowRule[]): Uint32Array => classicProgram(flowsArgument('flows', rules))
const xdp = (rules: FlowRule[], options = {}): Uint8Array =>
  xdpFlowProgram(flowsArgument('flows', rules), { ...seesAll, ...options })

/** Rule lists and frames, and what the plain reading says. */
function cases(seed: number, lists: number, framesEach: number, shortest = 0) {
  const chance = new Chance(seed)
  return Array.from({ length: lists }, () => {
    const frames = Array.from({ length: framesEach }, () => randomFrame(chance, shortest))
    const rules = Array.from({ length: chance.of([1, 1, 2, 3, 20]) }, () =>
      randomRule(chance, chance.of(frames)),
    )
    return { rules, frames }
  })
}

describe('programs match what the rules say', () => {
  test('classic BPF, 3000 lists of rules on 20 frames each', () => {
    let [yes, no] = [0, 0]
    for (const { rules, frames } of cases(1, 3000, 20)) {
      const program = classic(rules)
      for (const frame of frames) {
        const expected = rules.some((rule) => matches(rule, frame))
        if (runClassic(program, frame) !== (expected ? 0xffffffff : 0)) {
          expect.fail(
            `${expected ? 'missed' : 'took'} ${Buffer.from(frame).toString('hex')} by ${JSON.stringify(rules)}`,
          )
        }
        if (expected) yes++
        else no++
      }
    }
    // Both happen, often: the comparison says something.
    expect(Math.min(yes, no)).toBeGreaterThan(10_000)
  })

  test('classic BPF, with the outer tag in the metadata', () => {
    const chance = new Chance(2)
    let count = 0
    for (const { rules, frames } of cases(3, 1500, 20)) {
      const program = classic(rules)
      for (const frame of frames) {
        const tag = (chance.below(16) << 12) | chance.of([0, 5, 6, 261, 4094])
        const tagType = chance.of([0x8100, 0x88a8])
        const expected = rules.some((rule) => matches(rule, frame, tag, tagType))
        if (runClassic(program, frame, { tag, tagType }) !== (expected ? 0xffffffff : 0)) {
          expect.fail(`tag ${tag}: ${Buffer.from(frame).toString('hex')} by ${JSON.stringify(rules)}`)
        }
        if (expected) count++
      }
    }
    expect(count).toBeGreaterThan(3000)
  })

  test('XDP, 3000 lists of rules on 20 frames each', () => {
    let [yes, no] = [0, 0]
    for (const { rules, frames } of cases(4, 3000, 20)) {
      const program = xdp(rules)
      for (const frame of frames) {
        const expected = rules.some((rule) => matches(rule, frame))
        if (runXdp(program, frame) !== (expected ? drop : pass)) {
          expect.fail(
            `${expected ? 'missed' : 'took'} ${Buffer.from(frame).toString('hex')} by ${JSON.stringify(rules)}`,
          )
        }
        if (expected) yes++
        else no++
      }
    }
    expect(Math.min(yes, no)).toBeGreaterThan(10_000)
  })

  test('jumps reach over more than 255 instructions, in one rule and in many', () => {
    const frame = new Uint8Array(1514).map((_, i) => (i * 7) & 255)
    const bytes = Array.from({ length: 12 }, (_, i) => ({
      offset: i * 120,
      value: frame.slice(i * 120, i * 120 + 120),
    }))
    const long: FlowRule = { bytes }
    const program = classic([long, { destinationMac: '02:00:00:00:00:01' }])
    expect(program.length / 4).toBeGreaterThan(600)
    expect(runClassic(program, frame)).toBe(0xffffffff)
    expect(runXdp(xdp([long]), frame)).toBe(drop)
    const other = Uint8Array.of(2, 0, 0, 0, 0, 1, ...frame.slice(6))
    for (const i of [3, 500, 1439]) {
      const near = frame.slice()
      near[i] ^= 1
      expect([i, runClassic(program, near), runXdp(xdp([long]), near)]).toEqual([i, 0, pass])
      other[i] ^= 1
      expect(runClassic(program, other)).toBe(i === 3 ? 0 : 0xffffffff)
      if (i === 3) other[i] ^= 1
    }
    const many = Array.from(
      { length: 150 },
      (_, i): FlowRule => ({ protocol: 'udp', source: `10.0.${i}.0/24` }),
    )
    const packet = (third: number): Uint8Array =>
      Uint8Array.of(
        ...new Array(12).fill(0),
        8,
        0,
        0x45,
        ...new Array(8).fill(0),
        17,
        0,
        0,
        10,
        0,
        third,
        1,
        9,
        9,
        9,
        9,
      )
    const [classicMany, xdpMany] = [classic(many), xdp(many)]
    for (const [third, expected] of [
      [0, true],
      [77, true],
      [149, true],
      [150, false],
    ] as const) {
      expect([third, runClassic(classicMany, packet(third))]).toEqual([third, expected ? 0xffffffff : 0])
      expect([third, runXdp(xdpMany, packet(third))]).toEqual([third, expected ? drop : pass])
    }
  })

  test('jumps at the limit of what eight bits hold', () => {
    const frame = Uint8Array.of(7)
    for (const value of [7, 8]) {
      for (const [both, fillers] of [250, 251, 252, 253, 254, 255, 256, 257, 300].flatMap((n) => [
        [false, n],
        [true, n],
      ]) as [boolean, number][]) {
        const assembler = new ClassicAssembler()
        assembler.emit(0x30, 0)
        assembler.jump(0x15, 7, 'yes', both ? 'no' : undefined)
        for (let i = 0; i < fillers; i++) assembler.emit(0x04, 1)
        if (both) assembler.label('no')
        assembler.emit(0x06, both ? 1 : 2)
        assembler.label('yes')
        assembler.emit(0x06, 3)
        const expected = value === 7 ? 3 : both ? 1 : 2
        frame[0] = value
        expect([fillers, runClassic(assembler.assemble(), frame)]).toEqual([fillers, expected])
      }
    }
  })

  test('a rule that a frame is too short for does not stand before another', () => {
    const rules: FlowRule[] = [
      { bytes: [{ offset: 1000, value: Uint8Array.of(1) }] },
      { source: '10.0.0.1' },
      { etherType: 0x88b5 },
    ]
    const frame = Uint8Array.of(...new Array(12).fill(0), 0x88, 0xb5)
    expect(runClassic(classic(rules), frame)).toBe(0xffffffff)
    expect(runXdp(xdp(rules), frame)).toBe(drop)
    expect(runClassic(classic(rules), frame.subarray(0, 13))).toBe(0)
    expect(runXdp(xdp(rules), frame.subarray(0, 13))).toBe(pass)
  })

  test('a later fragment has no ports, whatever stands there', () => {
    const udp = (fragment: number): Uint8Array =>
      Uint8Array.of(
        ...new Array(12).fill(0),
        8,
        0,
        0x45,
        0,
        0,
        60,
        0,
        1,
        fragment >> 8,
        fragment & 255,
        64,
        17,
        0,
        0,
        10,
        0,
        0,
        1,
        10,
        0,
        0,
        2,
        0,
        53,
        0,
        53,
        0,
        8,
        0,
        0,
      )
    const rules: FlowRule[] = [{ protocol: 'udp', destinationPort: 53 }]
    for (const [fragment, expected] of [
      [0, true],
      [0x4000, true],
      [0x2000, true],
      [0x2001, false],
      [1, false],
    ] as const) {
      expect([fragment, runClassic(classic(rules), udp(fragment)) > 0]).toEqual([fragment, expected])
      expect([fragment, runXdp(xdp(rules), udp(fragment)) === drop]).toEqual([fragment, expected])
      expect(runClassic(classic([{ protocol: 'udp' }]), udp(fragment))).toBe(0xffffffff)
    }
  })

  test('both: the second program decides where the first accepts', () => {
    const first = Uint32Array.of(0x20, 0, 0, 0xfffff004, 0x15, 0, 1, 3, 0x06, 0, 0, 0, 0x06, 0, 0, 0xffffffff)
    const program = both(first, classic([{ etherType: 0x88b5 }]))
    const frame = Uint8Array.of(...new Array(12).fill(0), 0x88, 0xb5)
    expect(runClassic(program, frame)).toBe(0xffffffff)
    expect(runClassic(program, frame, { packetType: 3 })).toBe(0)
    frame[13]++
    expect(runClassic(program, frame)).toBe(0)
  })
})

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
  // Without CAP_BPF in the machine's own user namespace no program is loaded: there the interpreter must do.
  const permitted = run(input(xdp([{}]), [])).status !== 3

  // No hook runs where every test is skipped.
  if (!permitted) rmSync(folder, { recursive: true })

  test.skipIf(!permitted)('verifies the XDP programs and answers as the rules say', () => {
    // BPF_PROG_TEST_RUN wants an Ethernet header at least.
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
    'verifies the way to a socket; where there is none, the kernel keeps the frame',
    () => {
      const [{ rules, frames }] = cases(6, 1, 20, 14)
      const options = { ...seesAll, matched: redirectToSocket(0) }
      const program = xdpFlowProgram(flowsArgument('flows', [...rules, {}]), options)
      expect(run(input(program, frames))).toEqual({ status: 0, answers: frames.map(() => pass), log: '' })
    },
  )
})

describe('what XDP cannot express is refused by name', () => {
  test('VLAN where the device takes tags out', () => {
    const options = { vlanInFrame: false }
    for (const vlan of [5, 'none'] as const) {
      expect(() => xdp([{}, { vlan }], options)).toThrow(
        expect.objectContaining({
          code: 'ENOTSUP',
          syscall: 'bpf',
          message: expect.stringMatching(/^ENOTSUP: bpf: "flows\[1\]\.vlan": .*rxvlan off/),
        }),
      )
    }
    expect(xdp([{ etherType: 0x88b5 }], options)).toEqual(xdp([{ etherType: 0x88b5 }]))
  })

  test('bytes behind the first buffer', () => {
    const rule = (offset: number, from?: 'network' | 'transport'): FlowRule => ({
      protocol: 'udp',
      bytes: [{ from, offset, value: Uint8Array.of(1, 2) }],
    })
    const options = { firstBuffer: 1000 }
    for (const [offset, from] of [
      [998, undefined],
      [976, 'network'],
      [916, 'transport'],
    ] as const) {
      expect(xdp([rule(offset, from)], options).length).toBeGreaterThan(0)
      expect(() => xdp([rule(offset + 1, from)], options)).toThrow(
        expect.objectContaining({
          code: 'ENOTSUP',
          message: expect.stringContaining('"flows[0].bytes[0]": XDP sees only the first 1000 bytes'),
        }),
      )
    }
  })

  test('what to do with a match is the caller’s: to the socket of the receive queue', () => {
    const program = xdpFlowProgram(flowsArgument('flows', [{}]), {
      ...seesAll,
      matched: redirectToSocket(77),
    })
    const tail = Buffer.from(program.slice(-6 * 8)).toString('hex')
    expect(tail).toBe(
      '6162100000000000' +
        '18110000' +
        '4d000000' +
        '0000000000000000' +
        'b703000002000000' +
        '8500000033000000' +
        '9500000000000000',
    )
  })
})

describe('rules are checked', () => {
  const value = Uint8Array.of(1, 2)
  test.each<[unknown, string]>([
    [5, '"options.flows" must be an array of flow rules, not 5'],
    [[], '"options.flows" must be at least one rule (left out, every frame is received), not []'],
    [[{}, null], '"options.flows[1]" must be a flow rule, not null'],
    [
      [{ port: 5 }],
      '"options.flows[0].port" is not known: did you mean "sourcePort"? (there are sourceMac, destinationMac, etherType, vlan, source, destination, protocol, sourcePort, destinationPort, bytes)',
    ],
    [
      [{ sourceMac: 'x' }],
      "\"options.flows[0].sourceMac\" must be an Ethernet address like '02:00:00:00:00:01', not 'x'",
    ],
    [
      [{ destinationMac: value }],
      '"options.flows[0].destinationMac" must be six bytes, not Uint8Array(2) [ 1, 2 ]',
    ],
    [[{ etherType: 0x5ff }], '"options.flows[0].etherType" must be an integer from 1536 to 65535, not 1535'],
    [[{ vlan: 4095 }], '"options.flows[0].vlan" must be an integer from 0 to 4094, not 4095'],
    [[{ vlan: 'any' }], '"options.flows[0].vlan" must be one of none, not \'any\''],
    [[{ vlan: true }], '"options.flows[0].vlan" must be a number or \'none\', not true'],
    [
      [{ source: '10.0.0' }],
      "\"options.flows[0].source\" must be an address or a prefix like '10.0.0.0/8' or 'fe80::/10', not '10.0.0'",
    ],
    [
      [{ source: 'fe80::1%eth0' }],
      "\"options.flows[0].source\" must be an address or a prefix like '10.0.0.0/8' or 'fe80::/10', not 'fe80::1%eth0'",
    ],
    [
      [{ source: '10.0.0.0/33' }],
      '"options.flows[0].source" must be a prefix of at most 32 bits, not \'10.0.0.0/33\'',
    ],
    [
      [{ destination: '10.1.2.3/8' }],
      "\"options.flows[0].destination\" must be a prefix without bits behind its length ('10.0.0.0/8'), not '10.1.2.3/8'",
    ],
    [
      [{ destination: 'fe80::1/64' }],
      "\"options.flows[0].destination\" must be a prefix without bits behind its length ('fe80::/64'), not 'fe80::1/64'",
    ],
    [
      [{ source: '10.0.0.1', destination: '::1' }],
      '"options.flows[0].destination" must be IPv4 like "options.flows[0].source", not \'::1\'',
    ],
    [
      [{ source: '::1', etherType: 0x0800 }],
      '"options.flows[0].etherType" must be left out, or 0x86dd for an IPv6 address, not 2048',
    ],
    [
      [{ protocol: 17, etherType: 0x0806 }],
      '"options.flows[0].etherType" must be left out, or 0x0800 or 0x86dd where a protocol is given, not 2054',
    ],
    [[{ protocol: 256 }], '"options.flows[0].protocol" must be an integer from 0 to 255, not 256'],
    [
      [{ protocol: null }],
      '"options.flows[0].protocol" must be a number or the name of a protocol, not null',
    ],
    [
      [{ sourcePort: 5 }],
      "\"options.flows[0].sourcePort\" must be left out where \"options.flows[0].protocol\" is not 'tcp', 'udp', 'sctp' or 'udpLite', not 5",
    ],
    [
      [{ protocol: 'icmp', destinationPort: 5 }],
      "\"options.flows[0].destinationPort\" must be left out where \"options.flows[0].protocol\" is not 'tcp', 'udp', 'sctp' or 'udpLite', not 5",
    ],
    [
      [{ protocol: 'udp', destinationPort: 65536 }],
      '"options.flows[0].destinationPort" must be an integer from 0 to 65535, not 65536',
    ],
    [
      [{ protocol: 'udp', sourcePort: { from: 5, to: 4 } }],
      '"options.flows[0].sourcePort.to" must be an integer from 5 to 65535, not 4',
    ],
    [
      [{ protocol: 'udp', sourcePort: '5' }],
      '"options.flows[0].sourcePort" must be a port or { from, to }, not \'5\'',
    ],
    [[{ bytes: {} }], '"options.flows[0].bytes" must be an array of { from, offset, value, mask }, not {}'],
    [
      [{ bytes: [{ offset: -1, value }] }],
      '"options.flows[0].bytes[0].offset" must be an integer from 0 to 65535, not -1',
    ],
    [
      [{ bytes: [{ offset: 0, value: [1] }] }],
      '"options.flows[0].bytes[0].value" must be a Uint8Array, not [ 1 ]',
    ],
    [
      [{ bytes: [{ offset: 0, value: new Uint8Array(0) }] }],
      '"options.flows[0].bytes[0].value" must be 1 to 128 bytes, not 0',
    ],
    [
      [{ bytes: [{ offset: 0, value, mask: Uint8Array.of(255) }] }],
      '"options.flows[0].bytes[0].mask" must be as long as "options.flows[0].bytes[0].value", 2 bytes, not 1',
    ],
    [
      [{ bytes: [{ offset: 0, value, mask: Uint8Array.of(255, 1) }] }],
      '"options.flows[0].bytes[0].value" must be 0 where "options.flows[0].bytes[0].mask" is, not Uint8Array(2) [ 1, 2 ]',
    ],
    [
      [{ bytes: [{ from: 'transport', offset: 0, value }] }],
      "\"options.flows[0].bytes[0].from\" must be 'frame' or 'network' where \"options.flows[0].protocol\" is left out, not 'transport'",
    ],
  ])('%j', (flows, message) => {
    let error: unknown
    try {
      flowsArgument('options.flows', flows)
    } catch (thrown) {
      error = thrown
    }
    expect(error).toMatchObject({
      code: expect.stringMatching(/^ERR_(INVALID_ARG_TYPE|OUT_OF_RANGE)$/),
      message,
    })
  })

  test('too many for one program', () => {
    const flows = Array.from({ length: 500 }, (_, i): FlowRule => ({ protocol: 'udp', sourcePort: i }))
    expect(() => classic(flows)).toThrow(
      expect.objectContaining({
        code: 'ERR_OUT_OF_RANGE',
        message: expect.stringContaining('at most 4096 BPF instructions'),
      }),
    )
    const more = Array.from({ length: 2000 }, (_, i): FlowRule => ({ protocol: 'udp', sourcePort: i }))
    expect(() => xdp(more)).toThrow(
      expect.objectContaining({
        code: 'ERR_OUT_OF_RANGE',
        message: expect.stringContaining('at most 32767 XDP instructions'),
      }),
    )
  })
})
