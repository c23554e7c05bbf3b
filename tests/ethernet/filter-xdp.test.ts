/** The option `filter` with AF_XDP: the XDP programs of filters answer as tcpdump does over a file. */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PacketFilter, PacketQueue } from 'ibverbs/ethernet'
import { afterAll, describe, expect, test } from 'vitest'
import { runClassic } from '../../dist/filter/classic.js'
import { compileFilter } from '../../dist/filter/compile.js'
import { xdpFilter } from '../../dist/filter/xdp.js'
import { encode, exit, move } from '../../dist/flow/xdp-assembler.js'
import { execFileSync, spawnSync } from '../beds/child.js'
import { Random } from '../beds/random.js'
import { expressions, more, names } from '../capture/filters.js'
import { frames, hex, query, tagged, useFilterWire } from './filtered.js'
import { programPath } from './program.js'
import { backends, collect, transmit } from './traffic.js'

const wire = useFilterWire()

describe.runIf(backends.includes('af_xdp'))('af_xdp takes what tcpdump takes of a file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ibverbs-filter-'))
  const runner = join(folder, 'xdp-run')
  afterAll(() => rmSync(folder, { recursive: true }))
  execFileSync('cc', ['-O1', '-o', runner, programPath('xdp-run.c')])

  const [take, pass] = [1, 2]
  const matched = [move(0, take), exit()]
  const contextFromR1 = { code: 0xbf, destination: 6, source: 1, offset: 0, immediate: 0 }
  const word = (value: number) => new Uint8Array(Uint32Array.of(value).buffer)

  /** One program and its frames, for xdp-run.c. */
  function input(program: Uint32Array, some: readonly Uint8Array[], helpers?: boolean): Uint8Array[] {
    const bytes = encode([contextFromR1, ...xdpFilter(program, matched, 'of the test', helpers)])
    return [
      word(bytes.length),
      bytes,
      word(some.length),
      ...some.flatMap((frame) => [word(frame.length), frame]),
    ]
  }

  /** Runs them past the kernel's verifier and in the kernel. */
  function run(parts: Uint8Array[], ...flags: string[]): number[] {
    const { status, stdout, stderr } = spawnSync(runner, flags, {
      input: Buffer.concat(parts),
      maxBuffer: 2 ** 26,
    })
    expect({ status, log: stderr.toString() }).toEqual({ status: 0, log: '' })
    return [...new Uint32Array(Uint8Array.from(stdout).buffer)]
  }

  const answers = (program: Uint32Array, some: readonly Uint8Array[]) =>
    some.map((frame) => (runClassic(program, frame, 0, frame.length, frame.length) !== 0 ? take : pass))

  const compiled = [...expressions, ...more].flatMap((expression) => {
    try {
      return [{ expression, program: compileFilter(expression, 'wire') }]
    } catch {
      return [] // PacketFilter's tests check that they are refused alike
    }
  })

  test.each([true, false])(
    'all expressions are verified and answer as PacketFilter, helpers: %s',
    (helpers) => {
      const found = run(compiled.flatMap(({ program }) => input(program, frames, helpers)))
      for (const [i, { expression }] of compiled.entries()) {
        const filter = new PacketFilter(expression)
        const expected = frames.map((frame) => (filter.matches(frame) ? take : pass))
        const here = found.slice(i * frames.length, (i + 1) * frames.length)
        const which = (list: number[]) => names([...list.keys()].filter((k) => list[k] === take))
        expect([expression, which(here)]).toEqual([expression, which(expected)])
      }
      expect(compiled.length).toBeGreaterThan(130)
    },
  )

  test('programs that libpcap does not make: every cell, every operation, jumps on X, loads far beyond the end', () => {
    const random = new Random(9)
    const randomFrame = () => Uint8Array.from({ length: 14 + random.below(100) }, () => random.below(256))
    const programs = Array.from({ length: 400 }, () => randomProgram(random))
    const inputs = programs.map((program) => ({ program, some: Array.from({ length: 10 }, randomFrame) }))
    for (const helpers of [true, false]) {
      const found = run(inputs.flatMap(({ program, some }) => input(program, some, helpers)))
      expect(found).toEqual(inputs.flatMap(({ program, some }) => answers(program, some)))
    }
    const both = inputs.flatMap(({ program, some }) => answers(program, some))
    expect(both.filter((each) => each === take).length).toBeGreaterThan(500)
    expect(both.filter((each) => each === pass).length).toBeGreaterThan(500)
  })

  test('a frame in several buffers is seen whole: bytes behind the first, and its length', () => {
    const long = new Uint8Array(9000).map((_, i) => (i * 7) & 255)
    const cases = [
      'ether[8000:4] = 0x4047454c',
      'ether[8999] = 0x19',
      'ether[9000] >= 0',
      'len = 9000',
      'greater 9001',
    ]
    cases.push(`ether[ether[${cases.length}] + 8000] >= 0`)
    const programs = cases.map((expression) => compileFilter(expression, 'wire'))
    const found = run(
      programs.flatMap((program) => input(program, [long])),
      '--fragments',
    )
    expect(found).toEqual(programs.flatMap((program) => answers(program, [long])))
    expect(found.includes(take) && found.includes(pass)).toBe(true)
  })

  test('matching frames go to the socket, the rest to the kernel', async () => {
    for (const [expression, options] of [
      ['udp port 53 or arp', {}],
      ['vlan and port 53', {}],
      ['not ip and len > 50', { flows: [{ etherType: 0x88b5 }, { etherType: 0x86dd }] }],
    ] as const) {
      using queue = PacketQueue.open(wire.veth.b, {
        backend: 'af_xdp',
        filter: expression,
        promiscuous: true,
        ...options,
      })
      using control = PacketQueue.open(wire.veth.b, { promiscuous: true, frameCount: 512 })
      const filter = new PacketFilter(expression)
      const flowing = (frame: Buffer) =>
        !('flows' in options) || ['88b5', '86dd'].includes(frame.toString('hex', 12, 14))
      const sent = [...frames, tagged(query)]
      const wanted = sent.filter((frame) => filter.matches(frame) && flowing(frame))
      expect(wanted.length).toBeGreaterThan(0)
      transmit(wire.sender, ...sent)
      const taken = await collect(queue, wanted.length)
      const passed = await collect(control, sent.length - wanted.length)
      expect([expression, taken.map(hex)]).toEqual([expression, wanted.map(hex)])
      expect(passed.length).toBe(sent.length - wanted.length)
    }
  })

  test('refuses the kernel’s metadata by name, before it opens anything', () => {
    for (const [filter, what] of [
      ['inbound', "the frame's direction ('inbound', 'outbound')"],
      ['udp and outbound', "the frame's direction ('inbound', 'outbound')"],
    ]) {
      expect(() => PacketQueue.open(wire.veth.b, { backend: 'af_xdp', filter })).toThrow(
        expect.objectContaining({
          code: 'ENOTSUP',
          message: `ENOTSUP: pcap_compile: filter '${filter}': it asks for ${what}, which XDP does not know (backend 'af_packet' does)`,
        }),
      )
    }
  })
})

/** Forward only, with jumps ahead, over all instructions of classic BPF. */
function randomProgram(random: Random): Uint32Array {
  const size = 5 + random.below(40)
  const program: number[] = []
  for (let i = 0; i < size; i++) {
    const left = size - i - 1
    const far = () => (left > 0 ? random.below(Math.min(left, 20)) : 0)
    const k = random.pick([0, 1, 7, 12, 14, 60, 100, 0xff, 0xffff, 0x7fffffff])
    program.push(
      ...random.pick([
        [random.pick([0x20, 0x28, 0x30]), 0, 0, random.pick([0, 1, 12, 40, 90, 70000])],
        [random.pick([0x40, 0x48, 0x50]), 0, 0, random.pick([0, 1, 12, 40, 90, 70000, 0x7fffffff])],
        [random.pick([0x80, 0x81]), 0, 0, 0],
        [random.pick([0x00, 0x01]), 0, 0, random.pick([0, 1, 5, 200, 0xffffffff])],
        [random.pick([0x60, 0x61, 0x02, 0x03]), 0, 0, random.below(16)],
        [0xb1, 0, 0, random.pick([0, 14, 90, 70000])],
        [random.pick([0x04, 0x14, 0x24, 0x34, 0x44, 0x54, 0x94, 0xa4]), 0, 0, Math.max(1, k)],
        [random.pick([0x64, 0x74]), 0, 0, random.below(32)],
        [random.pick([0x0c, 0x1c, 0x2c, 0x3c, 0x4c, 0x5c, 0x9c, 0xac, 0x84]), 0, 0, 0],
        [random.pick([0x07, 0x87]), 0, 0, 0],
        [random.pick([0x15, 0x25, 0x35, 0x45]), far(), far(), k],
        [random.pick([0x1d, 0x2d, 0x3d, 0x4d]), far(), far(), 0],
      ]),
    )
  }
  program.push(
    ...random.pick([
      [0x16, 0, 0, 0],
      [0x06, 0, 0, 0xffffffff],
      [0x06, 0, 0, 0],
    ]),
  )
  return Uint32Array.from(program)
}
