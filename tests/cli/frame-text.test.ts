import { PcapEncoder } from 'ibverbs/ethernet'
import { describe, expect, test } from 'vitest'
import { frameText } from '../../dist/cli/frame/frame-text.js'
import { execFileSync } from '../beds/child.js'
import { kinds } from './frame-kinds.js'
import { ethernet, frames, ipv4 } from './frames.js'

const all: Readonly<Record<string, Buffer>> = { ...frames, ...kinds }

/** Where our text differs from tcpdump's, and why. */
const ours: Readonly<Record<string, { link?: string; plain?: string }>> = {
  // The type behind the tag alone says less than the tag and the type.
  'EtherType that is unknown behind a tag': {
    plain:
      '02:00:00:00:00:01 > 02:00:00:00:00:02, ethertype 802.1Q (0x8100), length 20: vlan 5, p 0, ethertype Unknown (0x88b5)',
  },
}

/** tcpdump's text for each frame: without times, superfluous blanks, and bytes. */
function tcpdump(...flags: string[]): string[] {
  const encoder = new PcapEncoder({ nanoseconds: true })
  Object.values(all).forEach((frame, i) => {
    if (!encoder.add(i, 0, frame)) throw new Error('does not fit')
  })
  const output = execFileSync('tcpdump', ['-n', '-S', '-tt', ...flags, '-r', '-'], {
    input: Buffer.concat([encoder.header(), encoder.take()]),
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  const texts: string[] = []
  for (const line of output.toString().split('\n')) {
    if (line === '' || line.startsWith('\t')) continue
    const [, number, text] = /^(\d+)\.0+ (.*)$/.exec(line) ?? []
    // tcpdump prints VXLAN's payload on a line of its own; dump does not.
    if (number === undefined) texts[texts.length - 1] += `: ${line}`
    else texts[Number(number)] = text
  }
  return texts.map((text) =>
    text
      .replace(/ {2,}/g, ' ')
      // tcpdump ends the line of an unknown frame with ': ', because its bytes follow.
      .replace(/[:,\s]+$/, '')
      .replace(/(missing!)(?=\S)/, '$1 ')
      .replace(/(802\.3)(?=LLC)/, '$1, ')
      .replace(/(?<=query|report|done)max resp/, ' max resp')
      .trimStart(),
  )
}

describe.each([
  ['without the link-level header', false, [] as string[]],
  ['with the link-level header', true, ['-e']],
])("each text is tcpdump's own, %s", (_, link, flags) => {
  const expected = tcpdump(...flags)

  test('tcpdump read every frame', () => {
    expect(expected).toHaveLength(Object.keys(all).length)
  })

  test.each(Object.keys(all).map((name, i) => [name, i] as const))('%s', (name, i) => {
    expect(frameText(all[name], { link })).toBe(ours[name]?.[link ? 'link' : 'plain'] ?? expected[i])
  })
})

describe('frames that are cut off', () => {
  test.each(Object.entries(all))('%s: every length gives a line and no exception', (_, frame) => {
    for (let length = 0; length < frame.length; length++) {
      for (const link of [false, true]) {
        const line = frameText(frame.subarray(0, length), { link })
        expect(line).toMatch(/^[^\n]+$/)
      }
    }
  })

  test('say so', () => {
    expect(frameText(frames['UDP over IPv4'].subarray(0, 10))).toBe('[|ether] length 10')
    expect(frameText(frames['UDP over IPv4'].subarray(0, 30))).toBe('[|ip]')
    expect(frameText(frames['UDP over IPv6'].subarray(0, 30))).toBe('[|ip6]')
    expect(frameText(frames['ARP reply'].subarray(0, 20))).toBe('[|arp]')
    expect(frameText(frames['TCP data'].subarray(0, 44), { wireLength: frames['TCP data'].length })).toBe(
      'IP 10.0.0.1.50000 > 10.0.0.2.50001: [|tcp]',
    )
    expect(frameText(frames['TCP data'].subarray(0, 44))).toBe(
      'IP truncated-ip - 15 bytes missing! 10.0.0.1.50000 > 10.0.0.2.50001: [|tcp]',
    )
  })

  test('tunnels in tunnels end', () => {
    let packet: Buffer = Buffer.alloc(0)
    for (let i = 0; i < 3000; i++) packet = ipv4(4, packet)
    expect(frameText(ethernet('0800', packet))).toMatch(
      /^(IP 10\.0\.0\.1 > 10\.0\.0\.2: ){16}\[nested too deep\]$/,
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

  test.each([
    '0800',
    '86dd',
    '0806',
    '8100',
    '0030',
    '8847',
    '8863',
    '8864',
    '8808',
    '8809',
    '88cc',
    '88f7',
    '9000',
  ])('random bytes of EtherType %s give a line and no exception', (type) => {
    for (let i = 0; i < 2000; i++) {
      const payload = Buffer.alloc(random() % 100)
      for (let at = 0; at < payload.length; at++) payload[at] = random()
      if (payload.length > 0 && type === '0800') payload[0] = 0x45 | (random() & 2)
      expect(frameText(ethernet(type, payload))).toMatch(/^[^\n]+$/)
    }
  })
})
