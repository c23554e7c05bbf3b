/** Programs of flow rules match the frames that a plain reference says they must; XDP refuses what it cannot see. */
import type { FlowRule } from 'ibverbs/ethernet'
import { describe, expect, test } from 'vitest'
import { both } from '../../dist/flow/classic.js'
import { ClassicAssembler } from '../../dist/flow/classic-assembler.js'
import { flowsArgument } from '../../dist/flow/normalize.js'
import { redirectToSocket, xdpFlowProgram } from '../../dist/flow/xdp.js'
import { Random } from '../beds/random.js'
import { runClassic, runXdp } from './bpf.js'
import { classic, drop, pass, seesAll, xdp } from './programs.js'
import { cases, matches } from './rules.js'

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
    const random = new Random(2)
    let count = 0
    for (const { rules, frames } of cases(3, 1500, 20)) {
      const program = classic(rules)
      for (const frame of frames) {
        const tag = (random.below(16) << 12) | random.pick([0, 5, 6, 261, 4094])
        const tagType = random.pick([0x8100, 0x88a8])
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

  test('a rule for longer frames does not hide the next rule', () => {
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

  test('a later fragment has no ports, whatever bytes it has there', () => {
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

describe('rules that XDP cannot express are refused by name', () => {
  test('VLAN on a device that strips tags', () => {
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

  test('the caller decides about a match: redirect to the socket of the receive queue', () => {
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
