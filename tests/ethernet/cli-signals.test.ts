/** A signal ends every command, even while its input or output blocks; a command reports a write error once. */
import { once } from 'node:events'
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { PacketQueue } from 'ibverbs/ethernet'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type ChildProcess, execFileSync, spawn } from '../beds/child.js'
import { ip, type VethPair, vethPair } from '../beds/veth.js'
import { capture } from '../capture/filters.js'
import { parse } from '../capture/tools.js'
import { frames } from '../cli/frames.js'
import { ibverbs, main, Running, start } from '../cli/run.js'
import { collect, transmit } from './traffic.js'

let veth: VethPair
let queue: PacketQueue
let folder: string
let fifo: string
const open: number[] = []

beforeEach(() => {
  veth = vethPair()
  queue = PacketQueue.open(veth.a, { promiscuous: true })
  folder = mkdtempSync(join(tmpdir(), 'ibverbs-signals-'))
  fifo = join(folder, 'fifo')
  execFileSync('mkfifo', [fifo])
})

afterEach(() => {
  for (const file of open.splice(0)) closeSync(file)
  queue.close()
  veth.remove()
  rmSync(folder, { recursive: true })
})

const opened = (path: string, flags: number): number => {
  const file = openSync(path, flags)
  open.push(file)
  return file
}
/** Untagged frames: the kernel would strip a tag. */
const list = Object.values(frames).filter((frame) => frame.readUInt16BE(12) !== 0x8100)
const input = capture(list.map((bytes) => ({ bytes, original: bytes.length })))

/** Waits until a condition of another process holds. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await delay(10)
}

/** Whether the process has a packet socket, and so has opened its queue. */
function hasQueue(child: ChildProcess): boolean {
  const inodes = readFileSync('/proc/net/packet', 'latin1')
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/).at(-1))
  return files(child).some((link) => inodes.includes(/^socket:\[(\d+)\]$/.exec(link)?.[1]))
}

function files(child: ChildProcess): string[] {
  const place = `/proc/${child.pid}/fd`
  return readdirSync(place).flatMap((name) => {
    try {
      return [readlinkSync(join(place, name))]
    } catch {
      return [] // closed in the meantime
    }
  })
}

describe('a FIFO without a writer', () => {
  test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('send -r ends on %s', async (signal) => {
    const sending = start(['send', veth.b, '-r', fifo])
    await until(() => hasQueue(sending.child) && files(sending.child).includes(fifo))
    sending.child.kill(signal)
    const code = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 }[signal]
    expect(await sending.finished).toMatchObject({ code, signal: null, stderr: '' })
  })

  test.each([
    ['send -f', () => ['send', veth.b, '-f', fifo]],
    ['dump -r', () => ['dump', '-r', fifo]],
  ])('%s ends', async (_, words: () => string[]) => {
    const sending = start(words())
    await until(() => files(sending.child).includes(fifo))
    sending.child.kill('SIGINT')
    expect(await sending.finished).toMatchObject({ code: 130, signal: null, stdout: '' })
  })
})

describe('a FIFO with a writer', () => {
  test('send -r sends each frame as it comes, and ends with its writer', async () => {
    const sending = start(['send', veth.b, '-r', fifo, '--rate', 'max'])
    const writer = opened(fifo, constants.O_RDWR)
    writeSync(writer, input.subarray(0, 24 + 16 + list[0].length + 5))
    expect((await collect(queue, 1)).map((frame) => Buffer.from(frame))).toEqual([list[0]])
    writeSync(writer, input.subarray(24 + 16 + list[0].length + 5))
    expect(await collect(queue, list.length - 1)).toHaveLength(list.length - 1)
    closeSync(open.pop() as number)
    expect(await sending.finished).toMatchObject({
      code: 0,
      stdout: expect.stringContaining(`${list.length} of ${list.length} frames accepted by ${veth.b}`),
    })
  })

  test('an interrupted send -r reports the frames that it has sent', async () => {
    const sending = start(['send', veth.b, '-r', fifo, '--rate', 'max'])
    writeSync(opened(fifo, constants.O_RDWR), input.subarray(0, 24 + 16 + list[0].length))
    await collect(queue, 1)
    sending.child.kill('SIGINT')
    expect(await sending.finished).toMatchObject({
      code: 130,
      stdout: expect.stringMatching(`^1 frames accepted by ${veth.b}, ${list[0].length} bytes`),
    })
  })

  test('send -f reads all of it', async () => {
    const sending = start(['send', veth.b, '-f', fifo])
    const writer = opened(fifo, constants.O_RDWR)
    writeSync(writer, `${list[0].toString('hex')}\n${list[1].toString('hex')}\n`)
    await until(() => files(sending.child).includes(fifo))
    closeSync(open.pop() as number)
    expect(await sending.finished).toMatchObject({ code: 0, stderr: '' })
    expect((await collect(queue, 2)).map((frame) => Buffer.from(frame))).toEqual(list.slice(0, 2))
  })
})

test.each([
  ['a FIFO', (): string => fifo],
  ['a device', (): string => '/dev/null'],
])('send -c 2 -r of %s is refused in words', async (_, path) => {
  expect(await ibverbs(['send', veth.b, '-c', '2', '-r', path()])).toEqual({
    code: 2,
    signal: null,
    stdout: '',
    stderr: `ibverbs send: ${path()} is no regular file: it cannot be read again, as --count 2 asks\nTry 'ibverbs send --help'.\n`,
  })
})

test('send -c 3 -r of a file sends it three times', async () => {
  const file = join(folder, 'x.pcap')
  writeFileSync(file, input)
  const { code, stdout } = await ibverbs(['send', veth.b, '-c', '3', '-r', file, '--rate', 'max'])
  expect({ code, stdout }).toMatchObject({
    code: 0,
    stdout: expect.stringContaining(`${3 * list.length} of ${3 * list.length} frames`),
  })
  expect((await collect(queue, 3 * list.length)).map((frame) => Buffer.from(frame))).toEqual([
    ...list,
    ...list,
    ...list,
  ])
})

test.each(['dump', 'dump --backend af_xdp'])(
  '%s takes what the kernel has ready when a signal comes',
  async (line) => {
    const file = join(folder, 'capture.pcap')
    const dumping = start([...line.split(' '), veth.b, '-w', file])
    await dumping.until(/^listening on /m)
    // The command is stopped, and sees the signal at its next turn.
    dumping.child.kill('SIGSTOP')
    await until(() => / T /.test(readFileSync(`/proc/${dumping.child.pid}/stat`, 'latin1')))
    for (let i = 0; i < 20; i++) transmit(queue, ...list)
    dumping.child.kill('SIGINT')
    dumping.child.kill('SIGCONT')
    const { code, stderr } = await dumping.finished
    expect(code).toBe(130)
    expect(stderr).toMatch(/, 0 dropped by kernel$/m)
    const expected = Array.from({ length: 20 }, () => list.map((frame) => frame.toString('hex'))).flat()
    expect(parse(readFileSync(file)).map(({ bytes }) => bytes)).toEqual(expected)
  },
)

describe('dump -w FIFO', () => {
  test('ends when it has no reader', async () => {
    const dumping = start(['dump', veth.b, '-w', fifo])
    await until(() => hasQueue(dumping.child))
    dumping.child.kill('SIGINT')
    expect(await dumping.finished).toMatchObject({ code: 130, signal: null, stdout: '' })
  })

  test('ends when its reader stops reading', async () => {
    const dumping = start(['dump', veth.b, '-w', fifo])
    // Like a stopped reader: the pipe fills, and stays full.
    opened(fifo, constants.O_RDWR)
    await dumping.until(/^listening on /m)
    await flood()
    dumping.child.kill('SIGTERM')
    expect(await dumping.finished).toMatchObject({ code: 143, signal: null })
  })

  test('gives a reader the whole capture, also when it is interrupted', async () => {
    const dumping = start(['dump', veth.b, '-w', fifo])
    const reader = spawn('cat', [fifo])
    const parts: Buffer[] = []
    reader.stdout?.on('data', (part: Buffer) => parts.push(part))
    await dumping.until(/^listening on /m)
    transmit(queue, ...list)
    // The last frame has come through.
    await until(() => Buffer.concat(parts).includes(list.at(-1) as Buffer))
    dumping.child.kill('SIGINT')
    await once(reader, 'close')
    expect((await dumping.finished).code).toBe(130)
    expect(parse(Buffer.concat(parts)).map(({ bytes }) => bytes)).toEqual(
      list.map((frame) => frame.toString('hex')),
    )
  })
})

/** More than any pipe holds, in lines or in a capture. */
async function flood(): Promise<void> {
  const frame = Buffer.concat([
    Buffer.from('020000000002020000000001 88b5'.replaceAll(' ', ''), 'hex'),
    Buffer.alloc(1400, 1),
  ])
  for (let i = 0; i < 100; i++) {
    transmit(queue, ...new Array(16).fill(frame))
    await queue.drain()
  }
}

describe('dump to a reader that does not read', () => {
  test.each([
    ['lines', ['-xx']],
    ['a capture', ['-w', '-']],
  ])('%s: a signal ends it', async (_, flags) => {
    const pipe = opened(fifo, constants.O_RDWR)
    const child = spawn(process.execPath, [main, 'dump', veth.b, ...flags], {
      stdio: ['ignore', pipe, 'pipe'],
    })
    let said = ''
    child.stderr?.on('data', (part) => {
      said += part
    })
    await until(() => said.includes('listening on'))
    await flood()
    child.kill('SIGINT')
    const [code] = await once(child, 'close')
    expect(code).toBe(130)
    expect(said).toMatch(/^\d+ frames captured, /m)
  })

  test('dump to a stopped terminal', async () => {
    // script(1) gives the command a terminal of its own, and stops reading from it when its own output is not read.
    const place = join(folder, 'pid')
    const command = `echo $$ > ${place}; exec ${process.execPath} ${main} dump ${veth.b} -xx`
    const script = spawn('script', ['-qec', command, '/dev/null'], { stdio: ['ignore', 'pipe', 'ignore'] })
    const output = script.stdout as Readable
    let said = ''
    while (!said.includes('listening on')) said += (await once(output, 'data'))[0]
    output.pause()
    await flood()
    const pid = readFileSync(place, 'latin1').trim()
    process.kill(Number(pid), 'SIGTERM')
    await until(() => stateOf(pid) === 'Z' || stateOf(pid) === undefined)
    script.kill('SIGKILL')
    await once(script, 'exit')
  })
})

/** The state of a process; undefined when there is none. */
function stateOf(pid: string): string | undefined {
  try {
    return /\) (\w)/.exec(readFileSync(`/proc/${pid}/stat`, 'latin1'))?.[1]
  } catch {
    return undefined
  }
}

/** A name server that exists and does not answer. */
describe.runIf(process.getuid?.() === 0)('a name that is being looked up', () => {
  const options = { env: { IBVERBS_SOFT: 'loop' } }

  /** Starts a command in a mount namespace of its own, with a name server that does not answer. */
  function startThere(...words: string[]): Running {
    const conf = join(folder, 'resolv.conf')
    writeFileSync(conf, 'nameserver 192.0.2.1\noptions timeout:30 attempts:5\n')
    ip('addr', 'add', '192.0.2.9/24', 'dev', veth.a)
    ip('neigh', 'add', '192.0.2.1', 'lladdr', '02:00:00:00:00:07', 'dev', veth.a)
    const script = `mount --bind ${conf} /etc/resolv.conf && exec "$@"`
    return new Running(
      'unshare',
      ['--mount', 'sh', '-c', script, '-', process.execPath, main, ...words],
      options,
    )
  }

  test.each([
    ['dump', () => ['dump', veth.b, 'host', 'nobody.example']],
    ['reflect', () => ['reflect', veth.b, 'host', 'nobody.example']],
    ['ping', () => ['ping', 'nobody.example']],
  ])('%s: a signal ends it, in its own way', async (_, words) => {
    using silent = PacketQueue.open(veth.b, { filter: 'udp port 53', promiscuous: true })
    const running = startThere(...words())
    expect(await silent.wait({ signal: AbortSignal.timeout(20_000) })).toBeGreaterThan(0)
    running.child.kill('SIGINT')
    expect(await running.finished).toEqual({ code: null, signal: 'SIGINT', stdout: '', stderr: '' })
  })
})

describe('a full disk', () => {
  const noSpace = 'ENOSPC: no space left on device, write'

  test.each([
    ['a capture', ['-w', '/dev/full', '-c', '1'], `/dev/full: ${noSpace}`],
    ['a capture of many', ['-w', '/dev/full'], `/dev/full: ${noSpace}`],
  ])('%s: told once, exit code 1', async (_, flags, complaint) => {
    const dumping = start(['dump', veth.b, ...flags])
    await dumping.until(/^listening on /m)
    transmit(queue, ...list)
    const { code, stderr } = await dumping.finished
    expect({ code, complaints: stderr.split('\n').filter((line) => line.startsWith('ibverbs')) }).toEqual({
      code: 1,
      complaints: [`ibverbs dump: ${complaint}`],
    })
    expect(stderr).toMatch(/^\d+ frames? captured, /m)
  })

  test.each([
    ['lines', []],
    ['lines, ended by -c', ['-c', '3']],
    ['a capture', ['-w', '-']],
    ['JSON', ['--json']],
  ])('%s to standard output: told once, exit code 1', async (_, flags) => {
    const full = opened('/dev/full', constants.O_WRONLY)
    const child = spawn(process.execPath, [main, 'dump', veth.b, ...flags], {
      stdio: ['ignore', full, 'pipe'],
    })
    let said = ''
    child.stderr?.on('data', (part) => {
      said += part
    })
    await until(() => said.includes('listening on'))
    transmit(queue, ...list)
    const [code] = await once(child, 'close')
    expect({ code, complaints: said.split('\n').filter((line) => line.startsWith('ibverbs')) }).toEqual({
      code: 1,
      complaints: [`ibverbs dump: standard output: ${noSpace}`],
    })
  })

  test('a command that only prints', async () => {
    const full = opened('/dev/full', constants.O_WRONLY)
    const child = spawn(process.execPath, [main, '--version'], { stdio: ['ignore', full, 'pipe'] })
    let said = ''
    child.stderr?.on('data', (part) => {
      said += part
    })
    const [code] = await once(child, 'close')
    expect({ code, said }).toEqual({ code: 1, said: `ibverbs: standard output: ${noSpace}\n` })
  })
})

describe('send -f', () => {
  const send = async (content: string | Buffer) => {
    const file = join(folder, 'frames')
    writeFileSync(file, content)
    const [byFile, byStdin] = [
      await ibverbs(['send', veth.b, '-f', file]),
      await ibverbs(['send', veth.b], { input: content }),
    ]
    expect({ ...byStdin, stderr: byStdin.stderr.replaceAll('stdin', file) }).toEqual(byFile)
    return byFile
  }
  const text = `# two\n${list[0].toString('hex')}\r\n${list[1].toString('hex')}\r\n`

  test.each([
    ['UTF-8', () => Buffer.concat([Buffer.from('efbbbf', 'hex'), Buffer.from(text)])],
    [
      'UTF-16, as PowerShell writes it',
      () => Buffer.concat([Buffer.from('fffe', 'hex'), Buffer.from(text, 'utf16le')]),
    ],
    [
      'UTF-16 the other way round',
      () => Buffer.concat([Buffer.from('feff', 'hex'), Buffer.from(text, 'utf16le').swap16()]),
    ],
    ['no mark', () => Buffer.from(text)],
  ])('a byte order mark: %s', async (_, content) => {
    expect(await send(content())).toMatchObject({ code: 0, stderr: '' })
    expect((await collect(queue, 4)).map((frame) => Buffer.from(frame))).toEqual([
      list[0],
      list[1],
      list[0],
      list[1],
    ])
  })

  test('a hex dump with offsets and characters is the frames that it shows', async () => {
    const dumped = execFileSync('tcpdump', ['-n', '-XX', '-r', '-'], {
      input,
      encoding: 'utf8',
      stdio: 'pipe',
    })
    const known = list.filter((frame) => frame.readUInt16BE(12) !== 0x88b5)
    const shown = dumped
      .split('\n')
      .filter((line) => !/unknown/.test(line))
      .join('\n')
    expect(await send(shown)).toMatchObject({ code: 0, stderr: '' })
    const got = (await collect(queue, 2 * known.length)).map((frame) => Buffer.from(frame))
    for (const frame of known)
      expect(got.filter((each) => each.equals(frame)).length).toBeGreaterThanOrEqual(2)
  })

  test('refuses a wrong one by its line, and sends nothing', async () => {
    const { code, stdout, stderr } = await send('0000: ffff ffff ffff 0200\n0009: 0000 0001 88b5 0000\n')
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(/^ibverbs send: \S+:2: offset 0x9 where 0x8 should be/)
    expect(queue.receive()).toBe(0)
  })

  test('as arguments too', async () => {
    const line = '0x0000:  ffff ffff ffff 0200 0000 0001 88b5 6869  ..............hi'
    expect(await ibverbs(['send', veth.b, line])).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^1 of 1 .* 16 bytes/),
    })
    expect(Buffer.from((await collect(queue, 1))[0]).toString('latin1', 14)).toBe('hi')
    const words = ['0000:', 'ffffffffffff0200', '00000001', '0008:', '88b5']
    expect(await ibverbs(['send', veth.b, ...words])).toMatchObject({ code: 2, stdout: '' })
  })
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
