/**
 * The option `filter`: on each backend the frames that tcpdump takes live; the XDP programs of filters; refused
 * filters.
 */

import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { PacketFilter, PacketQueue } from 'ibverbs/ethernet'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { runClassic } from '../../dist/filter/classic.js'
import { compileFilter } from '../../dist/filter/compile.js'
import { xdpFilter } from '../../dist/filter/xdp.js'
import { encode, exit, move } from '../../dist/flow/xdp-assembler.js'
import { type ChildProcess, execFileSync, spawn, spawnSync } from '../beds/child.js'
import { Random } from '../beds/random.js'
import { softPair } from '../beds/soft-pair.js'
import { ip, type VethPair, vethPair } from '../beds/veth.js'
import { complaint, expressions, inBatches, frames as list, more, names } from '../capture/filters.js'
import { parse } from '../capture/tools.js'
import { ethernet, ipv4, udp } from '../cli/frames.js'
import { command, programPath } from './program.js'
import { backends, collect, transmit } from './traffic.js'

const frames = list.map(({ bytes }) => bytes)
const sentinel = ethernet('9999', '00'.repeat(46))
const hex = (frame: Uint8Array) => Buffer.from(frame).toString('hex')
const tagged = (inner: Buffer, tag = '8100 0005') =>
  Buffer.concat([inner.subarray(0, 12), Buffer.from(tag.replace(' ', ''), 'hex'), inner.subarray(12)])
const query = ethernet('0800', ipv4(17, udp(4000, 53, Buffer.alloc(4))))

let veth: VethPair
let sender: PacketQueue

beforeEach(() => {
  veth = vethPair()
  // tcpdump does not ask for a netmask, whatever pcap-filter(7) says of 'ip broadcast'.
  ip('addr', 'add', '10.1.2.9/24', 'dev', veth.b)
  sender = PacketQueue.open(veth.a, { frameCount: 512 })
})

afterEach(() => {
  sender.close()
  veth.remove()
})

/** A tcpdump on the interface until the sentinel frame comes. */
class Tcpdump {
  readonly #child: ChildProcess
  readonly listening: Promise<void>
  /** The frames that it took before the sentinel. */
  readonly taken: Promise<string[]>

  constructor(name: string, expression: string) {
    const flags = ['-i', name, '-U', '--immediate-mode', '-s', '2000', '-w', '-']
    // The sentinel's term comes first, because any term after 'vlan' reads the frame behind the tag. Do not pass a
    // 'vlan and …' expression: behind 'or', libpcap looks four bytes too far, as if the tag were in the frame
    // (findings/libpcap-or-before-vlan.sh).
    this.#child = spawn('tcpdump', [...flags, `ether proto 0x9999 or (${expression})`])
    const { stdout, stderr } = this.#child as ChildProcess & { stdout: Readable; stderr: Readable }
    let out = Buffer.alloc(0)
    stdout.on('data', (part: Buffer) => {
      out = Buffer.concat([out, part])
      if (out.includes(sentinel)) this.end()
    })
    this.listening = once(stderr, 'data').then(([words]) => {
      expect(String(words)).toMatch(/^tcpdump: listening on/)
    })
    this.taken = once(this.#child, 'close').then(() =>
      parse(out).flatMap(({ bytes }) => (bytes === hex(sentinel) ? [] : [bytes])),
    )
  }

  end(): void {
    this.#child.kill('SIGKILL')
  }
}

/** All received frames, each with its tag put back, as tcpdump shows it. */
function take(queue: PacketQueue): string[] {
  const found: string[] = []
  for (let n = queue.receive(); n > 0; n = queue.receive()) {
    for (let i = 0; i < n; i++) {
      const slot = queue.slot(i)
      queue.restoreVlan(slot)
      const at = queue.offset(slot)
      found.push(hex(queue.memory.subarray(at, at + queue.length(slot))))
      queue.release(slot)
    }
  }
  return found
}

describe('af_packet takes the frames that tcpdump takes live', () => {
  test('all expressions: the same program as tcpdump, or its message', async () => {
    const all = [...expressions, 'inbound', 'outbound', 'vlan 5 and port 53', 'port 53 and greater 64']
    const theirs = await inBatches(all, 8, async (expression) => {
      const { code, output } = await command('tcpdump', '-i', veth.b, '-ddd', expression)
      if (code !== 0) return complaint(output)
      const [count, ...instructions] = output.trim().split('\n')
      expect(instructions.length).toBe(Number(count))
      return instructions.map((line) => line.split(' ').map(Number))
    })
    for (const [i, expression] of all.entries()) {
      expect([expression, programOf(expression)]).toEqual([expression, theirs[i]])
    }
    expect(theirs.filter((each) => typeof each === 'string').length).toBe(9)
    // The live programs look for the stripped tag: they are not the programs of a file.
    expect(JSON.stringify(programOf('vlan 5'))).not.toBe(JSON.stringify([...compileFilter('vlan 5', 'file')]))
  })

  /** As tcpdump writes it: an accepting program returns its snapshot length. */
  function programOf(expression: string): number[][] | string {
    try {
      const numbers = compileFilter(expression, 'socket', veth.b)
      return Array.from({ length: numbers.length / 4 }, (_, i) => {
        const [code, jt, jf, k] = numbers.subarray(i * 4, i * 4 + 4)
        return [code, jt, jf, code === 0x06 && k === 0xffffffff ? 262144 : k]
      })
    } catch (error) {
      return (error as Error).message.slice(`filter '${expression}': `.length)
    }
  }

  test('frames with and without a tag that the kernel strips', async () => {
    const some = ['port 53', 'greater 64', 'vlan', 'vlan 5', 'ip broadcast']
    some.push('ether proto 0x8100', 'ether[12:2] = 0x0800 and len < 60')
    const sent = [
      ...frames,
      tagged(query),
      tagged(query, '88a8 0005'),
      tagged(tagged(query), '88a8 0007'),
      tagged(query, '9100 0005'),
    ]
    const theirs = some.map((expression) => new Tcpdump(veth.b, expression))
    // The first queue to open is the last to see a frame: all others have seen it then.
    using control = PacketQueue.open(veth.b, { promiscuous: true, frameCount: 512 })
    const ours = some.map((filter) =>
      PacketQueue.open(veth.b, { filter, promiscuous: true, frameCount: 512 }),
    )
    try {
      await Promise.all(theirs.map(({ listening }) => listening))
      transmit(sender, ...sent)
      await collect(control, sent.length)
      transmit(sender, sentinel)
      for (const [i, expression] of some.entries()) {
        const taken = take(ours[i]).filter((frame) => frame !== hex(sentinel))
        expect([expression, taken]).toEqual([expression, await theirs[i].taken])
      }
    } finally {
      for (const each of theirs) each.end()
      for (const each of ours) each.close()
    }
  })
})

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
      using queue = PacketQueue.open(veth.b, {
        backend: 'af_xdp',
        filter: expression,
        promiscuous: true,
        ...options,
      })
      using control = PacketQueue.open(veth.b, { promiscuous: true, frameCount: 512 })
      const filter = new PacketFilter(expression)
      const flowing = (frame: Buffer) =>
        !('flows' in options) || ['88b5', '86dd'].includes(frame.toString('hex', 12, 14))
      const sent = [...frames, tagged(query)]
      const wanted = sent.filter((frame) => filter.matches(frame) && flowing(frame))
      expect(wanted.length).toBeGreaterThan(0)
      transmit(sender, ...sent)
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
      expect(() => PacketQueue.open(veth.b, { backend: 'af_xdp', filter })).toThrow(
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

describe('every backend', () => {
  test.each([...backends, 'raw_packet_qp'] as const)(
    '%s: what does not match does not come, nor wake anybody',
    async (backend) => {
      const raw = backend === 'raw_packet_qp'
      const pair = raw ? softPair() : undefined
      try {
        using from = PacketQueue.open(pair?.a ?? veth.a, { backend: raw ? backend : 'af_packet' })
        using queue = PacketQueue.open(pair?.b ?? veth.b, {
          backend,
          filter: 'port 53 or ether proto 0x9999',
          promiscuous: true,
        })
        const other = ethernet('0800', ipv4(17, udp(4000, 54, Buffer.alloc(4))))
        const round = Array.from({ length: 100 }, (_, i) => (i % 10 === 9 ? query : other))
        let came = 0
        for (let i = 0; i < 20; i++) {
          transmit(from, ...round.slice(0, 60))
          transmit(from, ...round.slice(60))
          came += (await collect(queue, 10)).filter((frame) => hex(frame) === hex(query)).length
        }
        expect(came).toBe(200)
        transmit(from, other, sentinel)
        expect((await collect(queue, 1)).map(hex)).toEqual([hex(sentinel)])
        expect(queue.receive()).toBe(0)
        expect(queue.statistics()).toMatchObject({ received: 201, dropped: 0 })
      } finally {
        pair?.remove()
      }
    },
  )

  test.each([...backends, 'raw_packet_qp'] as const)(
    "%s: libpcap's own words, and nothing is left open",
    (backend) => {
      const pair = backend === 'raw_packet_qp' ? softPair() : undefined
      try {
        const open = () => PacketQueue.open(pair?.b ?? veth.b, { backend, filter: 'lldp' })
        expect(open).toThrow(
          expect.objectContaining({
            code: 'ERR_IBVERBS_FILTER',
            message: "filter 'lldp': can't parse filter expression: syntax error",
          }),
        )
        PacketQueue.open(pair?.b ?? veth.b, { backend, filter: 'ip' }).close()
      } finally {
        pair?.remove()
      }
    },
  )

  test('a raw packet queue pair frees the frames that do not match', async () => {
    const pair = softPair()
    try {
      using from = PacketQueue.open(pair.a, { backend: 'raw_packet_qp' })
      const queue = PacketQueue.open(pair.b, {
        backend: 'raw_packet_qp',
        filter: 'port 53',
        promiscuous: true,
      })
      transmit(from, query, query)
      expect(await queue.wait({ signal: AbortSignal.timeout(10_000) })).toBeGreaterThan(0)
      const { frames } = queue
      queue.close()
      expect(frames.free).toBe(frames.frameCount)
    } finally {
      pair.remove()
    }
  })

  test('protochain, which loops, is for captures', () => {
    for (const backend of backends) {
      expect(() => PacketQueue.open(veth.b, { backend, filter: 'ip6 protochain 17' })).toThrow(
        "filter 'ip6 protochain 17': 'protochain' needs a loop, which the kernel's BPF does not have: it filters captures only",
      )
    }
  })
})

describe('af_packet', () => {
  test('flows, groups and promiscuous mode work beside a filter, also when they change', async () => {
    using queue = PacketQueue.open(veth.b, { filter: 'ip', flows: [{ protocol: 'udp' }] })
    const own = Buffer.from(query)
    Buffer.from(queue.interface.macBytes).copy(own)
    const group = Buffer.from(own)
    group.set([1, 0, 0x5e, 0, 0, 1])
    const icmp = Buffer.from(own)
    icmp[23] = 1
    transmit(sender, query, group, icmp, own)
    expect((await collect(queue, 1)).map(hex)).toEqual([hex(own)])
    queue.joinMulticast('01:00:5e:00:00:01')
    transmit(sender, query, group, icmp, own)
    expect((await collect(queue, 2)).map(hex)).toEqual([hex(group), hex(own)])
    queue.setPromiscuous(true)
    transmit(sender, query, group, icmp, own)
    expect((await collect(queue, 3)).map(hex)).toEqual([hex(query), hex(group), hex(own)])
  })

  test('refuses a program that is too long beside the flow rules, by name', () => {
    const flows = Array.from(
      { length: 300 },
      (_, i) => ({ protocol: 'udp', source: `10.0.${i & 127}.0/24`, destinationPort: i }) as const,
    )
    PacketQueue.open(veth.b, { flows: flows.slice(0, 100), filter: 'not ip6' }).close()
    const filter = Array.from({ length: 100 }, (_, i) => `host 10.0.0.${i}`).join(' or ')
    expect(() => PacketQueue.open(veth.b, { flows, filter })).toThrow(
      /^"options\.f\w+" must be (of|rules for) at most 4096 BPF instructions in all \(fewer or simpler\), not \d+$/,
    )
  })

  test('arguments', () => {
    expect(() => PacketQueue.open(veth.b, { filter: 5 as never })).toThrow(
      '"options.filter" must be a string, not 5',
    )
    expect(() => PacketQueue.open(veth.b, { filter: 'ip', transmitOnly: true })).toThrow(
      '"options.filter" must be left out where "options.transmitOnly" is true, not \'ip\'',
    )
    for (const filter of ['', ' ']) PacketQueue.open(veth.b, { filter }).close()
  })
})

/** Hides libpcap in a mount namespace of the process's own. */
test.runIf(process.getuid?.() === 0)('without libpcap a filter names the package, and all else works', () => {
  const found = execFileSync(
    'sh',
    ['-c', 'ldconfig -p | sed -n "s/.*libpcap.*=> //p" | xargs readlink -f | sort -u'],
    {
      encoding: 'utf8',
    },
  )
  const hide = found
    .trim()
    .split('\n')
    .map((path) => `mount --bind /dev/null ${path}`)
    .join(' && ')
  const script = `import { PacketFilter, PacketQueue } from 'ibverbs/ethernet'
    const said = []
    for (const wrong of [() => new PacketFilter('ip'), () => PacketQueue.open('${veth.b}', { filter: 'ip' })]) {
      try { wrong() } catch ({ code, message }) { said.push({ code, message }) }
    }
    PacketQueue.open('${veth.b}').close()
    console.log(JSON.stringify(said))`
  const { stdout, stderr, status } = spawnSync(
    'unshare',
    ['--mount', 'sh', '-c', `${hide} && exec "$0" --input-type=module -e "$1"`, process.execPath, script],
    { encoding: 'utf8' },
  )
  expect({ stderr, status }).toEqual({ stderr: '', status: 0 })
  const said = JSON.parse(stdout) as { code: string; message: string }[]
  expect(said.length).toBe(2)
  for (const { code, message } of said) {
    expect(code).toBe('ENOSYS')
    expect(message).toMatch(
      /^ENOSYS: pcap_compile: .*libpcap\.so.* \(libpcap compiles filters: apt-get install libpcap0\.8 \(elsewhere: the package libpcap\)\)$/,
    )
  }
})
