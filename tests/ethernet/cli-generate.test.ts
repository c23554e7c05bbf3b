/** ibverbs generate, and dump --check: numbered frames, counted at the other end. */
import { readFileSync } from 'node:fs'
import { ethernet, PacketQueue, type PacketQueueOptions, queryInterface } from 'ibverbs/ethernet'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { GeneratedFrame } from '../../dist/cli/traffic/generated-frame.js'
import { Peer } from '../beds/peer.js'
import { type VethPair, vethPair } from '../beds/veth.js'
import { ibverbs, main, Running, start } from '../cli/run.js'
import { programPath } from './program.js'
import { backends, collect, transmit } from './traffic.js'

let veth: VethPair

beforeEach(() => {
  veth = vethPair()
})

afterEach(() => veth.remove())

const to = '02:00:00:00:00:99'
const open = (name: string, options?: PacketQueueOptions) =>
  PacketQueue.open(name, { promiscuous: true, ...options })
const payload = (frame: Uint8Array) => Buffer.from(frame).subarray(14)
const numbers = (frames: readonly Uint8Array[]) => frames.map((frame) => payload(frame).readUIntBE(4, 6))

describe.each(backends)('%s', (backend) => {
  const generate = (...flags: string[]) =>
    ibverbs(['generate', veth.a, '--to', to, '--backend', backend, ...flags])

  test.each([
    ['at a rate', ['-r', '20k'], 60],
    ['as fast as it goes', ['-r', 'max'], 60],
    ['at a bit rate, of another size', ['-r', '100Mbit', '-s', '1514'], 1514],
  ])('sends so many frames %s, numbered and stamped', async (_, flags, size) => {
    using queue = open(veth.b)
    const before = Date.now() / 1000
    const generating = generate('-c', '3k', '--json', ...flags)
    const frames = await collect(queue, 3000)
    const { code, stdout, stderr } = await generating
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(numbers(frames)).toEqual(Array.from({ length: 3000 }, (_, i) => i))
    for (const frame of [frames[0], frames[2999]]) {
      expect(frame).toHaveLength(size)
      expect(ethernet.format(frame)).toBe(to)
      expect(ethernet.format(frame, 6)).toBe(queryInterface(veth.a).mac)
      expect(ethernet.etherType(frame, 0)).toBe(0x88b5)
      const stamped = payload(frame).readUInt32BE(10) + payload(frame).readUInt32BE(14) / 1e9
      expect(stamped).toBeGreaterThanOrEqual(before)
      expect(stamped).toBeLessThanOrEqual(Date.now() / 1000 + 0.002)
    }
    const report = JSON.parse(stdout)
    expect(report).toMatchObject({
      interface: veth.a,
      backend,
      to,
      size,
      sent: 3000,
      bytes: 3000 * size,
      received: null,
      statistics: { transmitted: 3000, refused: 0 },
    })
    if (flags.includes('max')) expect(report).toMatchObject({ wantedPerSecond: null, lateness: null })
    else {
      expect(report.lateness.p50).toBeGreaterThanOrEqual(0)
      expect(report.lateness.max).toBeGreaterThanOrEqual(report.lateness['p99.9'] * (1 - 1 / 64))
      // The last frame is never sent before its due time.
      expect(report.seconds).toBeGreaterThanOrEqual(2999 / report.wantedPerSecond)
    }
  })

  test('--receive, with reflect at the other end: nothing is lost', async () => {
    const reflecting = start(['reflect', veth.b, '--backend', backend, '--json'])
    await reflecting.until(/^reflecting on/m)
    const { mac } = queryInterface(veth.b)
    const flags = [
      '--to',
      mac,
      '-r',
      '5k',
      '-c',
      '2000',
      '--backend',
      backend,
      '--receive',
      '--json',
      '--linger',
      '5',
    ]
    const { code, stdout, stderr } = await ibverbs(['generate', veth.a, ...flags])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const { received, dueToArrival, lateness, warmup } = JSON.parse(stdout)
    expect(received).toMatchObject({ frames: 2000, lost: 0, duplicated: 0, reordered: 0, foreign: 0 })
    // At most a tenth of a second's frames: the generator's own delays count as time on the way.
    expect(warmup).toBe(200)
    expect(received.latency).toEqual(dueToArrival)
    expect(dueToArrival.p50).toBeGreaterThan(0)
    expect(lateness.p50).toBeGreaterThan(0)
    reflecting.child.kill('SIGINT')
    const reflected = await reflecting.finished
    expect(reflected.code).toBe(130)
    expect(JSON.parse(reflected.stdout)).toMatchObject({ backend, frames: 2000, bytes: 120_000, ignored: 0 })
  })

  test('--receive counts what was lost, doubled and reordered, one by one', async () => {
    using queue = open(veth.b)
    const generating = generate('-r', '2k', '-c', '100', '--receive', '--json', '--linger', '3')
    const frames = await collect(queue, 100)
    const back: Uint8Array[] = []
    for (const [i, frame] of frames.entries()) {
      // To the queue that sent them, which does not receive frames to other stations.
      frame.set(frame.subarray(6, 12), 0)
      if (i % 10 === 3) continue
      back.push(frame)
      if (i % 20 === 5) back.push(frame)
    }
    ;[back[0], back[1]] = [back[1], back[0]]
    transmit(queue, ...back)
    const { code, stdout } = await generating
    expect(code).toBe(1)
    expect(JSON.parse(stdout).received).toMatchObject({
      frames: 95,
      lost: 10,
      duplicated: 5,
      reordered: 1,
      foreign: 0,
    })
  })

  test('dump --check counts them at the other end', async () => {
    const checking = start(['dump', veth.b, '--check', '--json', '-c', '1001', '--backend', backend])
    await checking.until(/^listening on/m)
    using other = open(veth.a, { transmitOnly: true })
    transmit(other, new Uint8Array(60))
    await generate('-r', '50k', '-c', '1000')
    const { code, stdout } = await checking.finished
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({
      frames: 1000,
      lost: 0,
      duplicated: 0,
      reordered: 0,
      foreign: 1,
    })
  })

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('ends on %s with its report and exit code %i', async (signal, expected) => {
    using queue = open(veth.b)
    const generating = start(['generate', veth.a, '--to', to, '-r', '50', '--backend', backend])
    // More than the ten warm-up frames.
    await collect(queue, 12)
    generating.child.kill(signal)
    const { code, stdout, stderr } = await generating.finished
    expect({ code, stderr }).toEqual({ code: expected, stderr: '' })
    expect(stdout).toMatch(
      new RegExp(
        `^\\d+ frames of 60 bytes to ${to} in \\d+\\.\\d{3} s: [\\d.]+/s \\(50/s wanted\\), [\\d.]+ k?bit/s\nlate by µs: p50 [\\d.]+, p90 [\\d.]+, p99 [\\d.]+, p99.9 [\\d.]+, max [\\d.]+\n\\(without the first 10, to warm up\\)\n$`,
      ),
    )
  })

  test.each([
    ['1k', 250],
    ['1000M', 250_000_000],
  ])('--duration ends it, also when the rate %s cannot be kept', async (rate, most) => {
    const { code, stdout, stderr } = await generate('-r', rate, '-t', '0.25', '--json')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const { sent, wantedPerSecond } = JSON.parse(stdout)
    expect(wantedPerSecond).toBe(most * 4)
    expect(sent).toBeGreaterThan(0)
    expect(sent).toBeLessThanOrEqual(most)
  })

  test('a run that ends within the warm-up reports that it has no times', async () => {
    const { code, stdout } = await generate('-r', '1k', '-c', '3', '--warmup', '3')
    expect(code).toBe(0)
    expect(stdout).toMatch(/^3 frames of 60 bytes .*\nno times: there was none behind the warm-up\n$/)
  })
})

test('a delay of the generator counts as time on the way: its frames carry their due times', async () => {
  using queue = open(veth.b)
  const reflecting = start(['reflect', veth.b])
  await reflecting.until(/^reflecting on/m)
  const { mac } = queryInterface(veth.b)
  const flags = ['-r', '500', '-c', '500', '--receive', '--json', '--linger', '5']
  const generating = start(['generate', veth.a, '--to', mac, ...flags])
  const frames = await collect(queue, 60)
  const { pid } = generating.child
  generating.child.kill('SIGSTOP')
  const state = () => /\) (\S)/.exec(readFileSync(`/proc/${pid}/stat`, 'latin1'))?.[1]
  while (state() !== 'T') await new Promise((resolve) => setImmediate(resolve))
  const from = performance.now()
  await new Promise((resolve) => setTimeout(resolve, 200))
  const held = performance.now() - from
  generating.child.kill('SIGCONT')
  frames.push(...(await collect(queue, 500 - frames.length)))
  const { code, stdout } = await generating.finished
  expect(code).toBe(0)
  // The first frame that was delayed was due at most 2 ms after the beginning.
  const least = (held - 2) * 1000
  const { dueToArrival, lateness, warmup } = JSON.parse(stdout)
  expect(warmup).toBe(50)
  expect(dueToArrival.max).toBeGreaterThanOrEqual(least)
  expect(lateness.max).toBeGreaterThanOrEqual(least)
  // One every 2 ms, to the millisecond by which the system clock may be adjusted.
  const due = frames.map(
    (frame) => payload(frame).readUInt32BE(10) * 1000 + payload(frame).readUInt32BE(14) / 1e6,
  )
  for (const [i, each] of due.entries()) expect(Math.abs(each - due[0] - 2 * i)).toBeLessThanOrEqual(1.001)
  reflecting.child.kill('SIGINT')
  await reflecting.finished
})

test('on one processor it warns before it measures that it shares it with the reflector', async () => {
  const flags = ['--to', to, '-c', '20', '--receive', '--linger', '0']
  const allowed = /^Cpus_allowed_list:\s*(\d+)/m.exec(
    readFileSync('/proc/self/status', 'latin1'),
  )?.[1] as string
  const command = ['-c', allowed, process.execPath, main, 'generate', veth.a, ...flags]
  const { stdout, stderr } = await new Running('taskset', command).finished
  expect(stderr).toBe(
    'warning: 2 busy processes share 1 processor: the times are those of the scheduler, too\n',
  )
  expect(stdout).toMatch(/^20 frames of 60 bytes /)
})

test.each([[[]], [['--receive']]])(
  'with %j: an interface that goes away is named, after the report',
  async (flags) => {
    using queue = open(veth.b)
    const generating = start(['generate', veth.a, '--to', to, '-r', '100', ...flags])
    await collect(queue, 2)
    veth.remove()
    const { code, stdout, stderr } = await generating.finished
    expect(code).toBe(1)
    expect(stdout).toMatch(/^\d+ frames of 60 bytes to /)
    expect(stderr).toMatch(/^ibverbs generate: (ENODEV|ENETDOWN|ENXIO): /)
  },
)

describe('over UDP', () => {
  test.each([
    ['10.79.0.2', '10.79.0.1', 60],
    ['fd79::2', 'fd79::1', 80],
  ])('%s: the kernel there delivers every datagram', async (far, near, shortest) => {
    await using peer = await Peer.create({
      near: '10.79.0.1/24',
      far: '10.79.0.2/24',
      near6: 'fd79::1/64',
      far6: 'fd79::2/64',
    })
    const [command, ...args] = peer.inside(process.execPath, programPath('udp-sink.mjs'), far, '7009')
    const sink = new Running(command, args, { open: true })
    await sink.until(/ready/)
    const address = far.includes(':') ? `[${far}]:7009` : `${far}:7009`
    const { code, stdout, stderr } = await ibverbs([
      'generate',
      peer.near,
      '--to',
      address,
      '-c',
      '200',
      '--json',
    ])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(JSON.parse(stdout)).toMatchObject({ to: `${far} port 7009`, size: shortest, sent: 200 })
    await sink.until(/(.*\n){201}/)
    sink.child.stdin?.end()
    const lines = (await sink.finished).stdout.trimEnd().split('\n').slice(1)
    expect(lines.every((line) => line.startsWith(`${near} `))).toBe(true)
    expect(lines.map((line) => Number.parseInt(line.split(' ')[2].slice(8, 20), 16))).toEqual(
      Array.from({ length: 200 }, (_, i) => i),
    )
  })

  test('reflected, with the ports and addresses exchanged', async () => {
    await using peer = await Peer.create({ near: '10.79.0.1/24', far: '10.79.0.2/24' })
    const [command, ...args] = peer.inside(process.execPath, main, 'reflect', peer.far, 'udp', 'port', '7010')
    const reflecting = new Running(command, args)
    await reflecting.until(/^reflecting on/m)
    const flags = ['--to', '10.79.0.2:7010', '-c', '300', '-r', '3k', '--receive', '--json', '--linger', '5']
    const { code, stdout, stderr } = await ibverbs(['generate', peer.near, ...flags])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(JSON.parse(stdout)).toMatchObject({
      received: { frames: 300, lost: 0, duplicated: 0, reordered: 0, foreign: 0 },
    })
    reflecting.child.kill('SIGINT')
    await reflecting.finished
  })

  test('an address that no station has is an error', async () => {
    await using peer = await Peer.create({ near: '10.79.0.1/24', far: '10.79.0.2/24' })
    const { code, stdout, stderr } = await ibverbs(['generate', peer.near, '--to', '10.79.0.77'])
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(/^ibverbs generate: (EHOSTUNREACH|ETIMEDOUT): /)
  })
})

test('the error names an invalid size', async () => {
  const { code, stderr } = await ibverbs(['generate', veth.a, '--to', to, '-s', '1515'])
  expect(code).toBe(2)
  expect(stderr).toMatch(`ibverbs generate: --size must be from 60 to 1514 for ${to}, not '1515'\n`)
})

describe('on a terminal', () => {
  /** Runs a command on a terminal of its own, as script(1) makes one. */
  const onTerminal = (...words: string[]) =>
    new Running('script', ['-qec', `"${process.execPath}" "${main}" ${words.join(' ')}`, '/dev/null'], {
      env: { TERM: 'xterm' },
    })

  test('a line shows the progress, and is erased at the end', async () => {
    const { code, stdout } = await onTerminal('generate', veth.a, '--to', to, '-r', '1k', '-t', '0.6')
      .finished
    expect(code).toBe(0)
    const [before, line, after] = stdout.split('\r\x1b[K')
    expect(before).toBe('')
    expect(line).toMatch(/^[\d ]+ sent, [\d ]+\/s, late p99 [\d.]+ µs$/)
    expect(after).toMatch(/^\d+ frames of 60 bytes/)
  })

  test('there is none in a pipe', async () => {
    const { stdout, stderr } = await ibverbs(['generate', veth.a, '--to', to, '-r', '1k', '-t', '0.6'])
    expect(stdout + stderr).not.toContain('\x1b')
  })
})

test('a reader that has ended is no error', async () => {
  const command = `"${process.execPath}" "${main}" generate ${veth.a} --to ${to} -c 10 -r max | true; echo "\${PIPESTATUS[0]}"`
  const { stdout, stderr } = await new Running('bash', ['-c', command]).finished
  expect({ stdout, stderr }).toEqual({ stdout: '0\n', stderr: '' })
})

test('distinguishes the frames of two generators', async () => {
  const checking = start(['dump', veth.b, '--check', '-c', '6'])
  await checking.until(/^listening on/m)
  using queue = open(veth.a)
  const target = { destinationMac: ethernet.parse(to), sourceMac: queue.interface.macBytes }
  const frames = [
    [1, 0],
    [2, 50],
    [1, 1],
    [2, 52],
    [1, 1],
    [2, 53],
  ].map(([stream, sequence]) => {
    const bytes = new Uint8Array(60)
    new GeneratedFrame(target, 60, stream).write(bytes, 0, sequence, 1, 0)
    return bytes
  })
  transmit(queue, ...frames)
  expect((await checking.finished).stdout).toMatch(/^6 received: 1 lost, 1 duplicated, 0 reordered\n/)
})

test('generate -r 0.5 says so', async () => {
  const { code, stdout } = await ibverbs([
    'generate',
    veth.b,
    '--to',
    '02:00:00:00:00:02',
    '-r',
    '0.5',
    '-c',
    '1',
  ])
  expect(code).toBe(0)
  expect(stdout).toContain('(0.5/s wanted)')
  const json = await ibverbs([
    'generate',
    veth.b,
    '--to',
    '02:00:00:00:00:02',
    '-r',
    '3',
    '-c',
    '2',
    '--json',
  ])
  expect(json.stdout).toContain('"wantedPerSecond":3,')
  for (const [, fraction] of json.stdout.matchAll(/"(?!seconds)\w+":\d+\.(\d+)[,}]/g))
    expect(fraction.length).toBeLessThanOrEqual(3)
  expect(json.stdout).toMatch(/"seconds":\d+(\.\d{1,6})?,/)
})
