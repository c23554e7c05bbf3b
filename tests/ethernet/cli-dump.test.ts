import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PacketQueue } from 'ibverbs/ethernet'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { frameText } from '../../dist/cli/frame/frame-text.js'
import { execFileSync } from '../beds/child.js'
import { ip, type VethPair, vethPair } from '../beds/veth.js'
import { parse, tool, tshark } from '../capture/tools.js'
import { frames } from '../cli/frames.js'
import { ibverbs, main, Running, start } from '../cli/run.js'
import { backends, transmit } from './traffic.js'

let veth: VethPair
let queue: PacketQueue
let folder: string

beforeEach(() => {
  veth = vethPair()
  queue = PacketQueue.open(veth.a)
  folder = mkdtempSync(join(tmpdir(), 'ibverbs-dump-'))
})

afterEach(() => {
  queue.close()
  veth.remove()
  rmSync(folder, { recursive: true })
})

const listening = /^listening on /m
const list = Object.values(frames)
const count = String(list.length)

/** Starts a dump, sends the frames once it listens, and waits for its end. */
async function dump(args: readonly string[], sent: readonly Uint8Array[] = list) {
  const dumping = start(['dump', veth.b, ...args])
  await dumping.until(listening)
  transmit(queue, ...sent)
  return { ...(await dumping.finished), bytes: Buffer.concat(dumping.bytes) }
}

/** The real tcpdump's output for a capture. */
function tcpdump(capture: Buffer, ...flags: string[]): string {
  return execFileSync('tcpdump', ['-n', '-S', ...flags, '-r', '-'], {
    input: capture,
    stdio: ['pipe', 'pipe', 'ignore'],
  }).toString()
}

test('dumps each frame of the loopback once, as tcpdump does', async () => {
  ip('link', 'set', 'lo', 'up')
  const sink = createSocket('udp4')
  sink.bind(0, '127.0.0.1')
  await once(sink, 'listening')
  const { port } = sink.address()
  const dumping = start(['dump', 'lo', '-t', '-c', '4', 'udp', 'and', 'port', String(port)])
  await dumping.until(listening)
  for (const word of ['a', 'bb', 'ccc', 'dddd']) sink.send(word, port, '127.0.0.1')
  const { stdout } = await dumping.finished
  sink.close()
  expect(stdout.match(/length \d/g)).toEqual([1, 2, 3, 4].map((length) => `length ${length}`))
})

test("refuses 'any', an interface of tcpdump's", async () => {
  const { code, stderr } = await ibverbs(['dump', 'any'])
  expect({ code, stderr }).toEqual({
    code: 2,
    stderr: expect.stringContaining(
      "'any' is tcpdump's word for all interfaces at once: dump takes one by its name",
    ),
  })
})

describe('ibverbs dump', () => {
  test('prints one line a frame, and ends after -c of them', async () => {
    const { code, stdout, stderr } = await dump(['-t', '-c', count])
    expect(stdout.trimEnd().split('\n')).toEqual(list.map((frame) => frameText(frame)))
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: `listening on ${veth.b}, link-type EN10MB (Ethernet), af_packet\n${count} frames captured, 0 dropped by kernel\n`,
    })
  })

  test('prints the link-level header with -e', async () => {
    const { stdout } = await dump(['-t', '-e', '-c', count])
    expect(stdout.trimEnd().split('\n')).toEqual(list.map((frame) => frameText(frame, { link: true })))
  })

  test.each(['-x', '-xx', '-X', '-XX'])(
    "prints the bytes with %s, line by line as tcpdump's",
    async (flag) => {
      const file = join(folder, 'frames.pcap')
      // tcpdump dumps a frame of an unknown EtherType itself, with another offset: skip that frame.
      const sent = Object.entries(frames).flatMap(([name, frame]) =>
        name === 'unknown EtherType' ? [] : [frame],
      )
      await dump(['-w', file, '-c', String(sent.length)], sent)
      const { stdout } = await dump(['-t', flag, '-c', String(sent.length)], sent)
      expect(stdout).toBe(tcpdump(readFileSync(file), '-t', flag).replaceAll(':  ip-proto', ': ip-proto'))
    },
  )

  test("prints the kernel's time, which lies between sending and receiving", async () => {
    const before = Date.now()
    const { stdout } = await dump(['-tt', '--nano', '-c', '1'], [frames['ARP reply']])
    const [, seconds, nanoseconds] = /^(\d+)\.(\d{9}) ARP, Reply/.exec(stdout) as RegExpExecArray
    const milliseconds = Number(seconds) * 1000 + Number(nanoseconds) / 1e6
    expect(milliseconds).toBeGreaterThanOrEqual(before)
    // Date.now() truncates to the millisecond.
    expect(milliseconds).toBeLessThanOrEqual(Date.now() + 1)
  })

  test('prints local time by default', async () => {
    const { stdout } = await dump(['-c', '1'], [frames['ARP reply']])
    expect(stdout).toMatch(
      /^\d\d:\d\d:\d\d\.\d{6} ARP, Reply 10\.0\.0\.1 is-at 02:00:00:00:00:01, length 28\n$/,
    )
  })

  test('prints one JSON object a frame with --json', async () => {
    const { stdout } = await dump(['--json', '-c', count])
    const objects = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(objects.map(({ bytes }) => bytes)).toEqual(list.map((frame) => frame.toString('hex')))
    expect(objects.map(({ length }) => length)).toEqual(list.map((frame) => frame.length))
    expect(objects.map(({ text }) => text)).toEqual(list.map((frame) => frameText(frame, { link: true })))
    for (const { time } of objects) expect(time).toMatch(/^\d+\.\d{9}$/)
  })

  test.each([
    ['a file', (file: string) => file, () => Buffer.alloc(0)],
    ['standard output', () => '-', (bytes: Buffer) => bytes],
  ])('-w writes to %s a capture in which tcpdump finds every byte', async (_, target, onOutput) => {
    const file = join(folder, 'frames.pcap')
    const { code, bytes } = await dump(['-w', target(file), '-c', count])
    expect(code).toBe(0)
    const toOutput = onOutput(bytes)
    const capture = toOutput.length > 0 ? toOutput : readFileSync(file)
    const found = tcpdump(capture, '-t', '-e', '-xx')
      .split(/\n(?!\t)/)
      .filter((part) => part !== '')
      .map((part) =>
        [...part.matchAll(/\t0x[\da-f]{4}: {2}([\da-f ]+)/g)]
          .map((row) => row[1].replaceAll(' ', ''))
          .join(''),
      )
    expect(found).toEqual(list.map((frame) => frame.toString('hex')))
  })

  test('-s keeps that many bytes of each frame, and the original length', async () => {
    const file = join(folder, 'frames.pcap')
    await dump(['-w', file, '-s', '20', '-c', '1'], [frames['TCP data']])
    const capture = readFileSync(file)
    expect(capture).toHaveLength(24 + 16 + 20)
    expect([capture.readUInt32LE(24 + 8), capture.readUInt32LE(24 + 12)]).toEqual([
      20,
      frames['TCP data'].length,
    ])
    expect(capture.subarray(40)).toEqual(frames['TCP data'].subarray(0, 20))
  })

  test.each([
    ['Ctrl-C', 'SIGINT', 130],
    ['SIGTERM', 'SIGTERM', 143],
    ['a terminal that is gone', 'SIGHUP', 129],
  ] as const)(
    'ends on %s (%s) with all frames so far in the capture, and exit code %i',
    async (_, signal, expected) => {
      const dumping = start(['dump', veth.b, '-w', '-'])
      await dumping.until(listening)
      transmit(queue, ...list)
      const whole = 24 + list.reduce((sum, frame) => sum + 16 + frame.length, 0)
      for (let length = 0; length < whole; ) {
        await new Promise((resolve) => dumping.child.stdout?.once('data', resolve))
        length = Buffer.concat(dumping.bytes).length
      }
      dumping.child.kill(signal)
      const { code, stderr } = await dumping.finished
      expect(code).toBe(expected)
      expect(stderr).toMatch(new RegExp(`\n${count} frames captured, 0 dropped by kernel\n$`))
      expect(Buffer.concat(dumping.bytes)).toHaveLength(whole)
    },
  )

  test('ends without an error when its reader has gone', async () => {
    const script = `"${process.execPath}" "${main}" dump ${veth.b} -t | head -n 1; echo "\${PIPESTATUS[0]}"`
    const dumping = new Running('bash', ['-c', script])
    await dumping.until(listening)
    transmit(queue, frames['ARP reply'])
    await dumping.until(/Reply/)
    // The next frame finds the pipe's reader gone. How many frames head takes to end depends on the scheduler.
    let ended = false
    dumping.finished.then(() => {
      ended = true
    })
    while (!ended) {
      transmit(queue, frames['ARP reply'])
      await new Promise((resolve) => setImmediate(resolve))
    }
    const { stdout, stderr } = await dumping.finished
    expect(stdout).toBe('ARP, Reply 10.0.0.1 is-at 02:00:00:00:00:01, length 28\n0\n')
    expect(stderr).toMatch(/^listening.*\n\d+ frames? captured, \d+ dropped by kernel\n$/)
  })

  test('shows outgoing frames too, but not with -Q in', async () => {
    const other = PacketQueue.open(veth.b)
    try {
      for (const [flag, expected] of [
        ['inout', ['Request', 'Reply']],
        ['in', ['Reply', 'Reply']],
      ] as const) {
        const dumping = start(['dump', veth.b, '-t', '-c', '2', '-Q', flag])
        await dumping.until(listening)
        transmit(other, frames['ARP request'])
        transmit(queue, frames['ARP reply'], frames['ARP reply'])
        const { stdout } = await dumping.finished
        expect([...stdout.matchAll(/Request|Reply/g)].map(([word]) => word)).toEqual(expected)
      }
    } finally {
      other.close()
    }
  })

  test('reports after the captured frames that the interface disappeared', async () => {
    const dumping = start(['dump', veth.b, '-t'])
    await dumping.until(listening)
    transmit(queue, frames['ARP reply'])
    await dumping.until(/Reply/)
    veth.remove()
    const { code, stderr } = await dumping.finished
    expect(code).toBe(1)
    expect(stderr).toMatch(/\n1 frame captured, 0 dropped by kernel\nibverbs dump: (ENODEV|ENETDOWN): /)
  })

  test('reports a file that cannot be written', async () => {
    const dumping = start(['dump', veth.b, '-w', join(folder, 'nosuch', 'file')])
    const { code, stderr } = await dumping.finished
    expect(code).toBe(1)
    expect(stderr).toMatch(/^ibverbs dump: ENOENT: /)
  })

  test('leaves promiscuous mode when it ends, and never enters it with -p', async () => {
    const promiscuity = () => /promiscuity (\d+)/.exec(ip('-d', 'link', 'show', veth.b))?.[1]
    for (const [flags, during] of [
      [[], '1'],
      [['-p'], '0'],
    ] as const) {
      const dumping = start(['dump', veth.b, ...flags])
      await dumping.until(listening)
      expect(promiscuity()).toBe(during)
      dumping.child.kill('SIGINT')
      expect((await dumping.finished).code).toBe(130)
      expect(promiscuity()).toBe('0')
    }
  })

  test('-w *.pcapng writes what tshark reads: bytes, directions, interface and filter', async () => {
    const file = join(folder, 'frames.pcapng')
    const dumping = start(['dump', veth.b, '-w', file, '-c', '4', 'udp or arp'])
    await dumping.until(listening)
    using other = PacketQueue.open(veth.b, { transmitOnly: true })
    // A frame that leaves is seen within the sender's call (dev_queue_xmit_nit); one that comes, when the kernel's softirq
    // has taken it from the backlog, which may be later.
    transmit(other, frames['ARP request'])
    transmit(
      queue,
      frames['TCP data'],
      frames['UDP over IPv4'],
      frames['VLAN-tagged UDP'],
      frames['ARP reply'],
    )
    expect((await dumping.finished).code).toBe(0)
    const expected = ['ARP request', 'UDP over IPv4', 'VLAN-tagged UDP', 'ARP reply'].map(
      (name) => frames[name],
    )
    expect(tshark(file).map(({ bytes }) => bytes)).toEqual(expected.map((frame) => frame.toString('hex')))
    const [inbound, outbound] = [1, 2]
    const fields = ['-e', 'frame.interface_name', '-e', 'frame.packet_flags_direction']
    const text = tool('tshark', ['-n', '-r', file, '-T', 'fields', ...fields])
    expect(
      text
        .trimEnd()
        .split('\n')
        // The direction, not the interface, whose name may hold 0x too.
        .map((line) => line.replace(/\t0x0*/, '\t')),
    ).toEqual([outbound, inbound, inbound, inbound].map((direction) => `${veth.b}\t${direction}`))
    const about = tool('capinfos', ['-M', file])
    expect(about).toMatch(/Description = udp or arp\n/)
    expect(about).toMatch(/Number of stat entries = 1\n/)
  })

  test('--format pcapng to standard output is one too', async () => {
    const { bytes } = await dump(['-w', '-', '--format', 'pcapng', '-c', count])
    expect(parse(bytes).map(({ bytes }) => bytes)).toEqual(list.map((frame) => frame.toString('hex')))
  })

  test.runIf(backends.includes('af_xdp'))(
    '--backend af_xdp takes the frames, with a time of its own',
    async () => {
      const before = Date.now()
      const { code, stdout, stderr } = await dump(['--backend', 'af_xdp', '-tt', '-c', '2', 'arp'])
      expect(code).toBe(0)
      expect(stderr).toContain(', af_xdp\n2 frames captured, 0 dropped by kernel')
      const lines = stdout.trimEnd().split('\n')
      expect(lines.map((line) => line.replace(/^\S+ /, ''))).toEqual(
        ['ARP request', 'ARP request, padded'].map((name) => frameText(frames[name])),
      )
      for (const line of lines) {
        const milliseconds = Number(line.split(' ')[0]) * 1000
        expect(milliseconds).toBeGreaterThanOrEqual(before - 1)
        expect(milliseconds).toBeLessThanOrEqual(Date.now() + 1)
      }
      const { code: wrong, stderr: why } = await ibverbs([
        'dump',
        veth.b,
        '--backend',
        'af_xdp',
        '-Q',
        'inout',
      ])
      expect({ wrong, why }).toMatchObject({
        wrong: 2,
        why: expect.stringContaining("'-Q inout' needs af_packet"),
      })
    },
  )

  test.each([
    [
      ['not', 'udp', 'and', 'not', 'tcp'],
      ['ARP reply', 'unknown EtherType'],
    ],
    [['greater 70 or arp[7] = 2'], ['ARP reply', 'TCP SYN with options']],
    [['vlan'], ['VLAN-tagged UDP']],
    // The kernel has stripped the tag; dump shows the frame as it was on the wire.
    [['udp port 50001 and not ip6'], ['UDP over IPv4', 'VLAN-tagged UDP']],
  ])("a filter in all of tcpdump's words: %j", async (filter, names) => {
    const some = [
      'ARP reply',
      'UDP over IPv4',
      'TCP SYN with options',
      'VLAN-tagged UDP',
      'UDP over IPv6',
      'unknown EtherType',
    ]
    const sent = some.map((name) => frames[name])
    const { code, stdout } = await dump(['-t', '-c', String(names.length), ...filter], sent)
    expect({ code, lines: stdout.trimEnd().split('\n') }).toEqual({
      code: 0,
      lines: names.map((name) => frameText(frames[name])),
    })
  })

  test("refuses an invalid filter with libpcap's message", async () => {
    const { code, stdout, stderr } = await ibverbs(['dump', veth.b, 'port', '99999'])
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toBe(
      "ibverbs dump: filter 'port 99999': illegal port number 99999 > 65535\nTry 'ibverbs dump --help'.\n",
    )
  })
})
