/** A signal ends every command, even while its input or output blocks. */
import { once } from 'node:events'
import { constants, readdirSync, readFileSync, readlinkSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { PacketQueue } from 'ibverbs/ethernet'
import { describe, expect, test } from 'vitest'
import { type ChildProcess, spawn } from '../beds/child.js'
import { ip } from '../beds/veth.js'
import { parse } from '../capture/tools.js'
import { main, Running, start } from '../cli/run.js'
import { input, list, until, useCliWire } from './cli-wire.js'
import { collect, transmit } from './traffic.js'

const wire = useCliWire()

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
    const sending = start(['send', wire.veth.b, '-r', wire.fifo])
    await until(() => hasQueue(sending.child) && files(sending.child).includes(wire.fifo))
    sending.child.kill(signal)
    const code = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 }[signal]
    expect(await sending.finished).toMatchObject({ code, signal: null, stderr: '' })
  })

  test.each([
    ['send -f', () => ['send', wire.veth.b, '-f', wire.fifo]],
    ['dump -r', () => ['dump', '-r', wire.fifo]],
  ])('%s ends', async (_, words: () => string[]) => {
    const sending = start(words())
    await until(() => files(sending.child).includes(wire.fifo))
    sending.child.kill('SIGINT')
    expect(await sending.finished).toMatchObject({ code: 130, signal: null, stdout: '' })
  })
})

describe('a FIFO with a writer', () => {
  test('send -r sends each frame as it comes, and ends with its writer', async () => {
    const sending = start(['send', wire.veth.b, '-r', wire.fifo, '--rate', 'max'])
    const writer = wire.opened(wire.fifo, constants.O_RDWR)
    writeSync(writer, input.subarray(0, 24 + 16 + list[0].length + 5))
    expect((await collect(wire.queue, 1)).map((frame) => Buffer.from(frame))).toEqual([list[0]])
    writeSync(writer, input.subarray(24 + 16 + list[0].length + 5))
    expect(await collect(wire.queue, list.length - 1)).toHaveLength(list.length - 1)
    wire.close(writer)
    expect(await sending.finished).toMatchObject({
      code: 0,
      stdout: expect.stringContaining(`${list.length} of ${list.length} frames accepted by ${wire.veth.b}`),
    })
  })

  test('an interrupted send -r reports the frames that it has sent', async () => {
    const sending = start(['send', wire.veth.b, '-r', wire.fifo, '--rate', 'max'])
    writeSync(wire.opened(wire.fifo, constants.O_RDWR), input.subarray(0, 24 + 16 + list[0].length))
    await collect(wire.queue, 1)
    sending.child.kill('SIGINT')
    expect(await sending.finished).toMatchObject({
      code: 130,
      stdout: expect.stringMatching(`^1 frames accepted by ${wire.veth.b}, ${list[0].length} bytes`),
    })
  })

  test('send -f reads all of it', async () => {
    const sending = start(['send', wire.veth.b, '-f', wire.fifo])
    const writer = wire.opened(wire.fifo, constants.O_RDWR)
    writeSync(writer, `${list[0].toString('hex')}\n${list[1].toString('hex')}\n`)
    await until(() => files(sending.child).includes(wire.fifo))
    wire.close(writer)
    expect(await sending.finished).toMatchObject({ code: 0, stderr: '' })
    expect((await collect(wire.queue, 2)).map((frame) => Buffer.from(frame))).toEqual(list.slice(0, 2))
  })
})

test.each(['dump', 'dump --backend af_xdp'])(
  '%s takes what the kernel has ready when a signal comes',
  async (line) => {
    const file = join(wire.folder, 'capture.pcap')
    const dumping = start([...line.split(' '), wire.veth.b, '-w', file])
    await dumping.until(/^listening on /m)
    // The command is stopped, and sees the signal at its next turn.
    dumping.child.kill('SIGSTOP')
    await until(() => / T /.test(readFileSync(`/proc/${dumping.child.pid}/stat`, 'latin1')))
    for (let i = 0; i < 20; i++) transmit(wire.queue, ...list)
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
    const dumping = start(['dump', wire.veth.b, '-w', wire.fifo])
    await until(() => hasQueue(dumping.child))
    dumping.child.kill('SIGINT')
    expect(await dumping.finished).toMatchObject({ code: 130, signal: null, stdout: '' })
  })

  test('ends when its reader stops reading', async () => {
    const dumping = start(['dump', wire.veth.b, '-w', wire.fifo])
    // Like a stopped reader: the pipe fills, and stays full.
    wire.opened(wire.fifo, constants.O_RDWR)
    await dumping.until(/^listening on /m)
    await flood()
    dumping.child.kill('SIGTERM')
    expect(await dumping.finished).toMatchObject({ code: 143, signal: null })
  })

  test('gives a reader the whole capture, also when it is interrupted', async () => {
    const dumping = start(['dump', wire.veth.b, '-w', wire.fifo])
    const reader = spawn('cat', [wire.fifo])
    const parts: Buffer[] = []
    reader.stdout?.on('data', (part: Buffer) => parts.push(part))
    await dumping.until(/^listening on /m)
    transmit(wire.queue, ...list)
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
    transmit(wire.queue, ...new Array(16).fill(frame))
    await wire.queue.drain()
  }
}

describe('dump to a reader that does not read', () => {
  test.each([
    ['lines', ['-xx']],
    ['a capture', ['-w', '-']],
  ])('%s: a signal ends it', async (_, flags) => {
    const pipe = wire.opened(wire.fifo, constants.O_RDWR)
    const child = spawn(process.execPath, [main, 'dump', wire.veth.b, ...flags], {
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
    const place = join(wire.folder, 'pid')
    const command = `echo $$ > ${place}; exec ${process.execPath} ${main} dump ${wire.veth.b} -xx`
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
    const conf = join(wire.folder, 'resolv.conf')
    writeFileSync(conf, 'nameserver 192.0.2.1\noptions timeout:30 attempts:5\n')
    ip('addr', 'add', '192.0.2.9/24', 'dev', wire.veth.a)
    ip('neigh', 'add', '192.0.2.1', 'lladdr', '02:00:00:00:00:07', 'dev', wire.veth.a)
    const script = `mount --bind ${conf} /etc/resolv.conf && exec "$@"`
    return new Running(
      'unshare',
      ['--mount', 'sh', '-c', script, '-', process.execPath, main, ...words],
      options,
    )
  }

  test.each([
    ['dump', () => ['dump', wire.veth.b, 'host', 'nobody.example']],
    ['reflect', () => ['reflect', wire.veth.b, 'host', 'nobody.example']],
    ['ping', () => ['ping', 'nobody.example']],
  ])('%s: a signal ends it, in its own way', async (_, words) => {
    using silent = PacketQueue.open(wire.veth.b, { filter: 'udp port 53', promiscuous: true })
    const running = startThere(...words())
    expect(await silent.wait({ signal: AbortSignal.timeout(20_000) })).toBeGreaterThan(0)
    running.child.kill('SIGINT')
    expect(await running.finished).toEqual({ code: null, signal: 'SIGINT', stdout: '', stderr: '' })
  })
})
