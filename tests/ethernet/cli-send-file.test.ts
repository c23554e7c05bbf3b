/** Frames that `ibverbs send` reads: captures again and again, lists of frames, and hex dumps. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { execFileSync } from '../beds/child.js'
import { ibverbs } from '../cli/run.js'
import { input, list, useCliWire } from './cli-wire.js'
import { collect } from './traffic.js'

const wire = useCliWire()

test.each([
  ['a FIFO', (): string => wire.fifo],
  ['a device', (): string => '/dev/null'],
])('send -c 2 -r of %s is refused in words', async (_, path) => {
  expect(await ibverbs(['send', wire.veth.b, '-c', '2', '-r', path()])).toEqual({
    code: 2,
    signal: null,
    stdout: '',
    stderr: `ibverbs send: ${path()} is no regular file: it cannot be read again, as --count 2 asks\nTry 'ibverbs send --help'.\n`,
  })
})

test('send -c 3 -r of a file sends it three times', async () => {
  const file = join(wire.folder, 'x.pcap')
  writeFileSync(file, input)
  const { code, stdout } = await ibverbs(['send', wire.veth.b, '-c', '3', '-r', file, '--rate', 'max'])
  expect({ code, stdout }).toMatchObject({
    code: 0,
    stdout: expect.stringContaining(`${3 * list.length} of ${3 * list.length} frames`),
  })
  expect((await collect(wire.queue, 3 * list.length)).map((frame) => Buffer.from(frame))).toEqual([
    ...list,
    ...list,
    ...list,
  ])
})

describe('send -f', () => {
  const send = async (content: string | Buffer) => {
    const file = join(wire.folder, 'frames')
    writeFileSync(file, content)
    const [byFile, byStdin] = [
      await ibverbs(['send', wire.veth.b, '-f', file]),
      await ibverbs(['send', wire.veth.b], { input: content }),
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
    expect((await collect(wire.queue, 4)).map((frame) => Buffer.from(frame))).toEqual([
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
    const got = (await collect(wire.queue, 2 * known.length)).map((frame) => Buffer.from(frame))
    for (const frame of known)
      expect(got.filter((each) => each.equals(frame)).length).toBeGreaterThanOrEqual(2)
  })

  test('refuses a wrong one by its line, and sends nothing', async () => {
    const { code, stdout, stderr } = await send('0000: ffff ffff ffff 0200\n0009: 0000 0001 88b5 0000\n')
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(/^ibverbs send: \S+:2: offset 0x9 where 0x8 should be/)
    expect(wire.queue.receive()).toBe(0)
  })

  test('as arguments too', async () => {
    const line = '0x0000:  ffff ffff ffff 0200 0000 0001 88b5 6869  ..............hi'
    expect(await ibverbs(['send', wire.veth.b, line])).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^1 of 1 .* 16 bytes/),
    })
    expect(Buffer.from((await collect(wire.queue, 1))[0]).toString('latin1', 14)).toBe('hi')
    const words = ['0000:', 'ffffffffffff0200', '00000001', '0008:', '88b5']
    expect(await ibverbs(['send', wire.veth.b, ...words])).toMatchObject({ code: 2, stdout: '' })
  })
})
