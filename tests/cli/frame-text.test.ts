import { PcapEncoder } from 'ibverbs/ethernet'
import { describe, expect, test } from 'vitest'
import { frameText } from '../../dist/cli/frame/frame-text.js'
import { execFileSync } from '../beds/child.js'
import { ethernet, frames } from './frames.js'

/** The lines of the real tcpdump for the same frames, without times and without the dump of unknown ones. */
function tcpdump(...flags: string[]): string[] {
  const buffer = new PcapEncoder()
  for (const frame of Object.values(frames)) if (!buffer.add(1, 0, frame)) throw new Error('does not fit')
  const capture = Buffer.concat([buffer.header(), buffer.take()])
  const output = execFileSync('tcpdump', ['-n', '-S', '-t', ...flags, '-r', '-'], {
    input: capture,
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  return output
    .toString()
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('\t'))
}

/**
 * tcpdump ends the line of a frame that it does not know with ': ', because its bytes follow, and has one space too
 * many in front of a protocol that it does not know.
 */
const trimmed = (line: string) => line.replace(/: $/, '').replace(':  ip-proto', ': ip-proto')

describe.each([
  ['without the link-level header', false, [] as string[]],
  ['with the link-level header', true, ['-e']],
])("each line is tcpdump's own, %s", (_, link, flags) => {
  const expected = tcpdump(...flags)

  test('tcpdump printed one line a frame', () => {
    expect(expected).toHaveLength(Object.keys(frames).length)
  })

  test.each(Object.keys(frames).map((name, i) => [name, i] as const))('%s', (name, i) => {
    expect(frameText(frames[name], { link })).toBe(trimmed(expected[i]))
  })
})

describe('frames that are cut off', () => {
  test.each(Object.entries(frames))('%s: every length gives a line and no exception', (_, frame) => {
    for (let length = 0; length < frame.length; length++) {
      for (const link of [false, true]) {
        const line = frameText(frame.subarray(0, length), { link })
        expect(line).toMatch(/^[^\n]+$/)
      }
    }
  })

  test('say so', () => {
    expect(frameText(frames['UDP over IPv4'].subarray(0, 10))).toBe('[|ether] length 10')
    expect(frameText(frames['UDP over IPv4'].subarray(0, 30))).toBe('IP [|ip]')
    expect(frameText(frames['UDP over IPv6'].subarray(0, 30))).toBe('IP6 [|ip6]')
    expect(frameText(frames['ARP reply'].subarray(0, 20))).toBe('ARP, [|arp]')
    expect(frameText(frames['TCP data'].subarray(0, 44))).toBe(
      'IP 10.0.0.1.50000 > 10.0.0.2.50001: tcp [|tcp]',
    )
  })
})

describe('garbage', () => {
  // A small generator with a fixed seed (Numerical Recipes): the same bytes in every run.
  let state = 1
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state >>> 24
  }

  test.each(['0800', '86dd', '0806', '8100'])(
    'random bytes of EtherType %s give a line and no exception',
    (type) => {
      for (let i = 0; i < 2000; i++) {
        const payload = Buffer.alloc(random() % 100)
        for (let at = 0; at < payload.length; at++) payload[at] = random()
        if (payload.length > 0 && type === '0800') payload[0] = 0x45 | (random() & 2)
        expect(frameText(ethernet(type, payload))).toMatch(/^[^\n]+$/)
      }
    },
  )
})
