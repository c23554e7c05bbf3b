/** `ibverbs dump -r`: prints the frames of a capture, or those a filter selects, and writes them to captures. */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { frameText } from '../../dist/cli/frame/frame-text.js'
import { capture, frames, tcpdump } from '../capture/filters.js'
import { folder, parse } from '../capture/tools.js'
import { ibverbs, start } from './run.js'

const kinds = fileURLToPath(new URL('../capture/filters/kinds.pcap', import.meta.url))
const input = capture(frames)

describe('selects what tcpdump -r selects', () => {
  test.each([['vlan and port 53'], ['not tcp and greater 64'], ['ip[6:2] & 0x1fff != 0 or arp'], ['']])(
    '%s',
    async (filter) => {
      const running = start(
        ['dump', '-r', '-', '-w', '-', '--nano', ...(filter === '' ? [] : filter.split(' '))],
        { input },
      )
      const { code } = await running.finished
      const found = parse(Buffer.concat(running.bytes)).map(({ time }) => Number(time.split('.')[0]) - 1)
      const expected = await tcpdump(input, filter)
      expect({ code, found }).toEqual({ code: 0, found: expected })
      expect(found.length).toBeGreaterThan(0)
    },
  )
})

test('prints lines, ends after -c frames, and reports their number', async () => {
  using place = folder()
  writeFileSync(place.path('x.pcap'), input)
  const { code, stdout, stderr } = await ibverbs(['dump', '-r', place.path('x.pcap'), '-t', '-c', '3', 'udp'])
  const wanted = (await tcpdump(input, 'udp')) as number[]
  const lines = wanted.slice(0, 3).map((i) => frameText(frames[i].bytes, { wireLength: frames[i].original }))
  expect({ code, lines: stdout.trimEnd().split('\n') }).toEqual({ code: 0, lines })
  expect(stderr).toBe(
    `reading from ${place.path('x.pcap')}, link-type EN10MB (Ethernet)\n3 frames of ${wanted[2] + 1} match\n`,
  )
})

test('from pcapng to pcapng: bytes, times, directions', async () => {
  using place = folder()
  const [from, to] = [place.path('a.pcapng'), place.path('b.pcapng')]
  await ibverbs(['dump', '-r', kinds, '-w', from])
  expect(await ibverbs(['dump', '-r', from, '-w', to, 'ip'])).toMatchObject({ code: 0, stdout: '' })
  const whole = parse(readFileSync(kinds))
  const wanted = (await tcpdump(readFileSync(kinds), 'ip')) as number[]
  expect(wanted.length).toBeGreaterThan(0)
  const ip = whole.filter(({ bytes }) => bytes.slice(24, 28) === '0800')
  expect(parse(readFileSync(to)).map(({ time, bytes, original }) => ({ time, bytes, original }))).toEqual(
    ip.map(({ time, bytes, original }) => ({ time, bytes, original })),
  )
})

test('prints the frames before a broken record, then the error', async () => {
  const whole = capture(frames.slice(0, 3))
  const { code, stdout, stderr } = await ibverbs(['dump', '-r', '-', '-t'], {
    input: whole.subarray(0, whole.length - 5),
  })
  expect(code).toBe(1)
  expect(stdout.trimEnd().split('\n')).toEqual(frames.slice(0, 2).map(({ bytes }) => frameText(bytes)))
  expect(stderr).toMatch(/^2 frames\nibverbs dump: standard input: the capture was cut: /m)
})

describe('is refused', () => {
  test.each([
    [
      ['-r', kinds, 'inbound'],
      2,
      "filter 'inbound': inbound/outbound not supported on Ethernet when reading savefiles",
    ],
    [['-r', kinds, '--backend', 'af_xdp'], 2, '--backend and --read exclude each other'],
    [['-r', kinds, '-p'], 2, '--no-promiscuous and --read exclude each other'],
    [['-r', '/nonexistent'], 1, "ENOENT: no such file or directory, open '/nonexistent'"],
  ])('%j', async (words, code, message) => {
    const result = await ibverbs(['dump', ...(words as string[])])
    expect(result).toMatchObject({ code, stdout: '' })
    expect(result.stderr.split('\n')[0]).toBe(`ibverbs dump: ${message}`)
  })
})
