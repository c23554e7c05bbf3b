/** tcpdump, dumpcap and tshark at the other end: they see the frames that we send, and we replay their captures. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CaptureParser, PacketQueue } from 'ibverbs/ethernet'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { limit } from '../beds/limit.js'
import { Random } from '../beds/random.js'
import { type VethPair, vethPair } from '../beds/veth.js'
import { parse, tool } from '../capture/tools.js'
import { frames as kinds } from '../cli/frames.js'
import { ibverbs, Running } from '../cli/run.js'
import { backends, transmit } from './traffic.js'

let veth: VethPair
let folder: string

beforeAll(() => {
  veth = vethPair()
  folder = mkdtempSync(join(tmpdir(), 'ibverbs-peer-'))
})

afterAll(() => {
  veth.remove()
  rmSync(folder, { recursive: true })
})

/** One frame of each kind, and many of random length and bytes: at least the 14 of a header. */
const random = new Random(20)
const sent: Uint8Array[] = [
  ...Object.values(kinds),
  ...Array.from({ length: 200 }, () => {
    const frame = Uint8Array.from({ length: 14 + random.below(1501) }, () => random.below(256))
    // To one station, of no type that the kernel would take for a length or a tag.
    frame[0] &= 0xfe
    frame.set([0x88, 0xb5], 12)
    return frame
  }),
]
const hex = (list: readonly Uint8Array[]) => list.map((frame) => Buffer.from(frame).toString('hex'))

/** Frames in a file that is still being written. */
function whole(file: string): number {
  const parser = new CaptureParser()
  let count = 0
  try {
    parser.push(readFileSync(file))
    while (parser.next()) count++
  } catch {
    // not even a complete header
  }
  return count
}

/** As root, tcpdump would become another user, who may not write here. */
const asRoot = process.getuid?.() === 0 ? ['-Z', 'root'] : []
const turn = () => new Promise((resolve) => setTimeout(resolve, 5))

/** Captures at the other end while frames are sent; returns the file. */
async function capture(program: 'tcpdump' | 'dumpcap', name: string, send: () => unknown): Promise<string> {
  const file = join(folder, name)
  rmSync(file, { force: true })
  const count = sent.length
  const flags =
    program === 'tcpdump'
      ? ['-i', veth.b, '-w', file, '-U', '--immediate-mode', '-c', String(count), '-B', '16384', ...asRoot]
      : ['-q', '-i', veth.b, '-w', file, '-c', String(count)]
  const capturing = new Running(program, flags)
  // tcpdump prints a line when it listens; dumpcap then begins its file.
  if (program === 'tcpdump') await capturing.until(/listening on/)
  else while ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) === 0) await turn()
  await send()
  // It ends by its own count; should a frame be missing, the test times out.
  await capturing.finished
  expect(whole(file)).toBe(count)
  return file
}

describe.each(backends)('%s', (backend) => {
  test.each(['tcpdump', 'dumpcap'] as const)(
    '%s receives what we send, byte for byte and in order',
    async (program) => {
      using queue = PacketQueue.open(veth.a, { backend, transmitOnly: true })
      const file = await capture(program, `sent.${program}`, () => transmit(queue, ...sent))
      expect(parse(readFileSync(file)).map(({ bytes }) => bytes)).toEqual(hex(sent))
    },
  )

  test.each([
    ['tcpdump', 'pcap', []],
    ['tcpdump', 'pcap', ['--rate', 'max']],
    ['dumpcap', 'pcapng', ['--rate', '20k']],
    ['dumpcap', 'pcapng', ['--speed', '100']],
  ] as const)('a file captured by %s (%s) replays identically, with %j', async (program, format, flags) => {
    using queue = PacketQueue.open(veth.a, { backend, transmitOnly: true })
    const first = await capture(program, `first.${format}`, () => transmit(queue, ...sent))
    queue.close()
    let result = { code: null as number | null, stdout: '', stderr: '' }
    const second = await capture(program, `second.${format}`, async () => {
      result = await ibverbs(['send', veth.a, '-r', first, '--backend', backend, '--json', ...flags])
    })
    expect(result).toMatchObject({ code: 0, stderr: '' })
    const bytes = sent.reduce((sum, { length }) => sum + length, 0)
    expect(JSON.parse(result.stdout)).toMatchObject({ sent: sent.length, wanted: sent.length, bytes, cut: 0 })
    const [before, after] = [first, second].map((file) => parse(readFileSync(file)))
    expect(after.map(({ bytes }) => bytes)).toEqual(before.map(({ bytes }) => bytes))
    expect(after.map(({ original }) => original)).toEqual(before.map(({ original }) => original))
  })
})

/** A capture of the first frames with gaps of this many milliseconds. */
function spaced(name: string, gap: number): string {
  const [hexFile, file] = [join(folder, `${name}.txt`), join(folder, name)]
  const lines = sent.slice(0, 5).map((frame, i) => {
    const time = `2024-01-01 00:00:0${Math.floor((i * gap) / 1000)}.${String((i * gap) % 1000).padStart(3, '0')}000`
    return `${time}\n0000 ${Buffer.from(frame).toString('hex').replace(/../g, '$& ')}\n`
  })
  writeFileSync(hexFile, lines.join('\n'))
  tool('text2pcap', ['-t', '%Y-%m-%d %H:%M:%S.%f', hexFile, file])
  return file
}

test.each([
  [[], 120],
  [['--speed', '4'], 30],
  [['--speed', '0.5'], 240],
  [['--rate', '20'], 200],
  [['-c', '2'], 240],
])('a replay never runs ahead of its time: %j takes %i ms or more', async (flags, least) => {
  const { code, stdout, stderr } = await ibverbs([
    'send',
    veth.a,
    '-r',
    spaced('spaced', 30),
    '--json',
    ...flags,
  ])
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  const { seconds, lateness } = JSON.parse(stdout)
  expect(seconds * 1000).toBeGreaterThanOrEqual(least)
  expect(lateness.p50).toBeGreaterThanOrEqual(0)
})

test('Ctrl-C ends a replay with what was sent so far', async () => {
  const replaying = new Running(process.execPath, [
    ...['dist/cli/main.js', 'send', veth.a, '-r', spaced('slow', 1000), '--speed', '0.001'],
  ])
  using queue = PacketQueue.open(veth.b, { promiscuous: true })
  await queue.wait({ signal: AbortSignal.timeout(limit) })
  replaying.child.kill('SIGINT')
  const { code, stdout } = await replaying.finished
  expect(code).toBe(130)
  expect(stdout).toMatch(new RegExp(`^1 frames accepted by ${veth.a}, ${sent[0].length} bytes in `))
})

test('an error names a capture that cannot be replayed', async () => {
  const file = join(folder, 'wrong')
  const run = async (content: string | Uint8Array) => {
    writeFileSync(file, content)
    const { code, stdout, stderr } = await ibverbs(['send', veth.a, '-r', file])
    expect({ code, stdout }).toMatchObject({ code: 1 })
    return stderr
  }
  expect(await run('hello')).toBe(
    `ibverbs send: ${file}: at byte 0: this begins neither a pcap nor a pcapng capture\n`,
  )
  expect((await ibverbs(['send', veth.a, '-r', join(folder, 'nosuch')])).stderr).toMatch(
    /^ibverbs send: ENOENT: /,
  )
  const good = readFileSync(spaced('good', 1))
  expect(await run(good.subarray(0, good.length - 3))).toMatch(
    /the capture was cut: \d+ bytes of an unfinished/,
  )
})
