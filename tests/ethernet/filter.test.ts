/** The option `filter`: on each backend what matches comes; with AF_PACKET, the frames that tcpdump takes live. */

import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { PacketQueue } from 'ibverbs/ethernet'
import { describe, expect, test } from 'vitest'
import { compileFilter } from '../../dist/filter/compile.js'
import { type ChildProcess, execFileSync, spawn, spawnSync } from '../beds/child.js'
import { softPair } from '../beds/soft-pair.js'
import { complaint, expressions, inBatches } from '../capture/filters.js'
import { parse } from '../capture/tools.js'
import { ethernet, ipv4, udp } from '../cli/frames.js'
import { frames, hex, query, tagged, useFilterWire } from './filtered.js'
import { command } from './program.js'
import { backends, collect, transmit } from './traffic.js'

const sentinel = ethernet('9999', '00'.repeat(46))
const wire = useFilterWire()

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
      const { code, output } = await command('tcpdump', '-i', wire.veth.b, '-ddd', expression)
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
      const numbers = compileFilter(expression, 'socket', wire.veth.b)
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
    const theirs = some.map((expression) => new Tcpdump(wire.veth.b, expression))
    // The first queue to open is the last to see a frame: all others have seen it then.
    using control = PacketQueue.open(wire.veth.b, { promiscuous: true, frameCount: 512 })
    const ours = some.map((filter) =>
      PacketQueue.open(wire.veth.b, { filter, promiscuous: true, frameCount: 512 }),
    )
    try {
      await Promise.all(theirs.map(({ listening }) => listening))
      transmit(wire.sender, ...sent)
      await collect(control, sent.length)
      transmit(wire.sender, sentinel)
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

describe('every backend', () => {
  test.each([...backends, 'raw_packet_qp'] as const)(
    '%s: what does not match does not come, nor wake anybody',
    async (backend) => {
      const raw = backend === 'raw_packet_qp'
      const pair = raw ? softPair() : undefined
      try {
        using from = PacketQueue.open(pair?.a ?? wire.veth.a, { backend: raw ? backend : 'af_packet' })
        using queue = PacketQueue.open(pair?.b ?? wire.veth.b, {
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
        const open = () => PacketQueue.open(pair?.b ?? wire.veth.b, { backend, filter: 'lldp' })
        expect(open).toThrow(
          expect.objectContaining({
            code: 'ERR_IBVERBS_FILTER',
            message: "filter 'lldp': can't parse filter expression: syntax error",
          }),
        )
        PacketQueue.open(pair?.b ?? wire.veth.b, { backend, filter: 'ip' }).close()
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
      expect(() => PacketQueue.open(wire.veth.b, { backend, filter: 'ip6 protochain 17' })).toThrow(
        "filter 'ip6 protochain 17': 'protochain' needs a loop, which the kernel's BPF does not have: it filters captures only",
      )
    }
  })
})

describe('af_packet', () => {
  test('flows, groups and promiscuous mode work beside a filter, also when they change', async () => {
    using queue = PacketQueue.open(wire.veth.b, { filter: 'ip', flows: [{ protocol: 'udp' }] })
    const own = Buffer.from(query)
    Buffer.from(queue.interface.macBytes).copy(own)
    const group = Buffer.from(own)
    group.set([1, 0, 0x5e, 0, 0, 1])
    const icmp = Buffer.from(own)
    icmp[23] = 1
    transmit(wire.sender, query, group, icmp, own)
    expect((await collect(queue, 1)).map(hex)).toEqual([hex(own)])
    queue.joinMulticast('01:00:5e:00:00:01')
    transmit(wire.sender, query, group, icmp, own)
    expect((await collect(queue, 2)).map(hex)).toEqual([hex(group), hex(own)])
    queue.setPromiscuous(true)
    transmit(wire.sender, query, group, icmp, own)
    expect((await collect(queue, 3)).map(hex)).toEqual([hex(query), hex(group), hex(own)])
  })

  test('refuses a program that is too long beside the flow rules, by name', () => {
    const flows = Array.from(
      { length: 300 },
      (_, i) => ({ protocol: 'udp', source: `10.0.${i & 127}.0/24`, destinationPort: i }) as const,
    )
    PacketQueue.open(wire.veth.b, { flows: flows.slice(0, 100), filter: 'not ip6' }).close()
    const filter = Array.from({ length: 100 }, (_, i) => `host 10.0.0.${i}`).join(' or ')
    expect(() => PacketQueue.open(wire.veth.b, { flows, filter })).toThrow(
      /^"options\.f\w+" must be (of|rules for) at most 4096 BPF instructions in all \(fewer or simpler\), not \d+$/,
    )
  })

  test('arguments', () => {
    expect(() => PacketQueue.open(wire.veth.b, { filter: 5 as never })).toThrow(
      '"options.filter" must be a string, not 5',
    )
    expect(() => PacketQueue.open(wire.veth.b, { filter: 'ip', transmitOnly: true })).toThrow(
      '"options.filter" must be left out where "options.transmitOnly" is true, not \'ip\'',
    )
    for (const filter of ['', ' ']) PacketQueue.open(wire.veth.b, { filter }).close()
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
    for (const wrong of [() => new PacketFilter('ip'), () => PacketQueue.open('${wire.veth.b}', { filter: 'ip' })]) {
      try { wrong() } catch ({ code, message }) { said.push({ code, message }) }
    }
    PacketQueue.open('${wire.veth.b}').close()
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
