/** Channels and n-tuple rules, compared with `ethtool` (Debian's package). */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type FlowRule, PacketQueue, queryChannels, setChannels, steer } from 'ibverbs/ethernet'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { native } from '../../dist/native.js'
import { execFileSync } from '../beds/child.js'
import { ip, vethPair } from '../beds/veth.js'
import { programPath } from './program.js'
import { on } from './traffic.js'

const { open } = on('af_xdp')

/** Current counts, as `ethtool -l` prints them. */
function counts(name: string): { rx: number; tx: number } {
  const now = execFileSync('ethtool', ['-l', name], { encoding: 'utf8' }).split(
    'Current hardware settings:',
  )[1]
  return { rx: Number(/RX:\s+(\d+)/.exec(now)?.[1]), tx: Number(/TX:\s+(\d+)/.exec(now)?.[1]) }
}

const refused = (code: string, message: RegExp) =>
  expect.objectContaining({
    name: 'VerbsError',
    code,
    syscall: 'ioctl',
    message: expect.stringMatching(message),
  })

describe('channels', () => {
  test('reads and sets the counts that ethtool shows', () => {
    using veth = vethPair({ queues: 4 })
    const most = { receive: 4, transmit: 4, other: 0, combined: 0 }
    expect(queryChannels(veth.a)).toEqual({ ...most, most })
    expect(setChannels(veth.a, { receive: 2, transmit: 3 })).toEqual(most)
    expect(counts(veth.a)).toEqual({ rx: 2, tx: 3 })
    expect(setChannels(veth.a, {})).toEqual({ ...most, receive: 2, transmit: 3 })
    expect(setChannels(veth.a, { transmit: 4 })).toEqual({ ...most, receive: 2, transmit: 3 })
    expect(queryChannels(veth.a)).toEqual({ ...most, receive: 2, most })
  })

  test('an error names the driver, and its limits', () => {
    using veth = vethPair({ queues: 2 })
    expect(() => queryChannels('lo')).toThrow(
      refused('ENOTSUP', /ETHTOOL_GCHANNELS: the driver of "lo" \(unknown\) has no channels/),
    )
    expect(() => setChannels(veth.a, { receive: 3 })).toThrow(
      refused(
        'EINVAL',
        /ETHTOOL_SCHANNELS of ".*": asked for 3 receive, 2 transmit; it has at most 2 receive, 2 tr/,
      ),
    )
    expect(() => queryChannels('nowhere')).toThrow(expect.objectContaining({ code: 'ENODEV' }))
    expect(counts(veth.a)).toEqual({ rx: 2, tx: 2 })
  })

  test.each([
    [{ receive: -1 }, 'ERR_OUT_OF_RANGE', 'counts.receive'],
    [{ combined: 1.5 }, 'ERR_OUT_OF_RANGE', 'counts.combined'],
    [{ transmit: '1' }, 'ERR_INVALID_ARG_TYPE', 'counts.transmit'],
    [{ queues: 1 }, 'ERR_INVALID_ARG_TYPE', 'counts.queues'],
    [7, 'ERR_INVALID_ARG_TYPE', 'counts'],
  ])('arguments: %j', (given, code, name) => {
    using veth = vethPair({ queues: 2 })
    expect(() => setChannels(veth.a, given as never)).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(`"${name}"`) }),
    )
  })

  test('a queue changes them while it is open', () => {
    using veth = vethPair({ queues: 4 })
    using queue = open(veth.a, { channels: 1 })
    expect(counts(veth.a)).toEqual({ rx: 1, tx: 1 })
    expect(queue.report.queues).toBe(1)
    queue.close()
    expect(counts(veth.a)).toEqual({ rx: 4, tx: 4 })
    expect(() => open(veth.a, { channels: 2, queueId: 2 })).toThrow(
      expect.objectContaining({ code: 'EINVAL' }),
    )
    expect(() => open(veth.a, { channels: 5 })).toThrow(refused('EINVAL', /at most 4 receive/))
    expect(counts(veth.a)).toEqual({ rx: 4, tx: 4 })
    using renamed = open(veth.a, { channels: 2, queueId: 'all' })
    ip('link', 'set', veth.a, 'down')
    ip('link', 'set', veth.a, 'name', 'other0')
    renamed.close()
    expect(counts('other0')).toEqual({ rx: 4, tx: 4 })
    ip('link', 'set', 'other0', 'name', veth.a)
    ip('link', 'set', veth.a, 'up')
    const gone = open(veth.a, { channels: 1 })
    ip('link', 'del', veth.a)
    gone.close()
  })
})

test('a queue that had more channels than before takes them back, though its sockets still lie on them', () => {
  using veth = vethPair({ queues: 2 })
  for (let round = 0; round < 5; round++) {
    setChannels(veth.a, { receive: 1, transmit: 1 })
    const queue = open(veth.a, { channels: 2, queueId: 'all' })
    expect(counts(veth.a)).toEqual({ rx: 2, tx: 2 })
    queue.close()
    expect(counts(veth.a)).toEqual({ rx: 1, tx: 1 })
  }
})

describe('n-tuple rules', () => {
  test('the error names a driver without rules, and nothing is left', () => {
    using veth = vethPair({ queues: 2 })
    const rule: FlowRule = { protocol: 'udp', destinationPort: 4791, destination: '10.0.0.1' }
    const before = native.handleCount()
    const named = refused('ENOTSUP', /ETHTOOL_GRXCLSRLCNT: the driver of "\w+" \(veth\) has no n-tuple rules/)
    expect(() => steer(veth.a, rule, 1)).toThrow(named)
    expect(() => open(veth.a, { channels: 1, steer: [rule] })).toThrow(named)
    expect(counts(veth.a)).toEqual({ rx: 2, tx: 2 })
    expect(native.handleCount()).toBe(before)
  })

  test.each([
    [{ destinationPort: { from: 7, to: 9 }, protocol: 'udp' }, 'destinationPort.*cannot say a range'],
    [{ vlan: 'none' }, 'vlan'],
    [{ sourceMac: '02:00:00:00:00:01', protocol: 'udp' }, 'sourceMac'],
    [{ bytes: [{ offset: 20, value: Uint8Array.of(1) }] }, 'bytes'],
    [{ bytes: [{ from: 'transport', offset: 4, value: Uint8Array.of(1) }], protocol: 'udp' }, 'bytes'],
    [
      { protocol: 'udp', sourcePort: 7, bytes: [{ from: 'transport', offset: 0, value: Uint8Array.of(1) }] },
      'bytes.*two different values',
    ],
  ] as [FlowRule, string][])('what they have no place for is named: %j', (rule, field) => {
    using veth = vethPair({ queues: 2 })
    expect(() => steer(veth.a, rule, 0)).toThrow(refused('ENOTSUP', new RegExp(`"rules\\[0\\]\\.${field}`)))
  })

  test('steer needs AF_XDP on one queue', () => {
    using veth = vethPair({ queues: 2 })
    for (const options of [
      { steer: [{}] },
      { channels: 1 },
      { backend: 'af_xdp', queueId: 'all', steer: [{}] },
      { backend: 'af_xdp', transmitOnly: true, steer: [{}] },
    ] as const) {
      expect(() => PacketQueue.open(veth.a, options)).toThrow(
        expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }),
      )
    }
  })

  describe('with a driver that has them', () => {
    const folder = mkdtempSync(join(tmpdir(), 'ibverbs-ntuple-'))
    const driver = join(folder, 'driver.so')
    const log = join(folder, 'log')
    beforeAll(() => {
      execFileSync('cc', ['-shared', '-fPIC', '-O1', '-o', driver, programPath('ntuple-driver.c'), '-ldl'])
    })
    beforeEach(() => writeFileSync(log, ''))
    afterAll(() => rmSync(folder, { recursive: true }))

    function driven(file: string, words: string[], environment: Record<string, string> = {}): string {
      const preload = [process.env.LD_PRELOAD, driver].filter(Boolean).join(':')
      const env = { ...process.env, ...environment, LD_PRELOAD: preload, NTUPLE_LOG: log }
      return execFileSync(file, words, { encoding: 'utf8', env, stdio: ['ignore', 'pipe', 'inherit'] })
    }
    const opened = (name: string, options: object, environment?: Record<string, string>): string =>
      driven(
        process.execPath,
        ['--no-warnings', programPath('steer.mjs'), name, JSON.stringify(options)],
        environment,
      )
    const lines = (): string[] => readFileSync(log, 'latin1').split('\n').slice(0, -1)

    test('makes the same rules as ethtool from the same words', () => {
      using veth = vethPair({ queues: 4 })
      const cases: [FlowRule, string][] = [
        [
          { protocol: 'udp', source: '10.1.2.0/24', destinationPort: 4791 },
          'udp4 src-ip 10.1.2.0 m 0.0.0.255 dst-port 4791',
        ],
        [{ protocol: 'tcp', destination: 'fe80::1', sourcePort: 80 }, 'tcp6 dst-ip fe80::1 src-port 80'],
        [
          { etherType: 0x88b5, destinationMac: '02:00:00:00:00:01' },
          'ether proto 0x88b5 dst 02:00:00:00:00:01',
        ],
        [{ sourceMac: '02:00:00:00:00:09' }, 'ether src 02:00:00:00:00:09'],
        [{ protocol: 'gre', destination: '10.0.0.1' }, 'ip4 dst-ip 10.0.0.1 l4proto 47'],
        [
          { protocol: 89, destination: '2001:db8::/32' },
          'ip6 l4proto 89 dst-ip 2001:db8:: m ::ffff:ffff:ffff:ffff:ffff:ffff',
        ],
        [{ source: '192.0.2.1' }, 'ip4 src-ip 192.0.2.1'],
        [
          { protocol: 'sctp', source: '192.0.2.1', sourcePort: 9, vlan: 5 },
          'sctp4 src-ip 192.0.2.1 src-port 9 vlan 5 m 0xf000',
        ],
        [
          { protocol: 'udp', destination: '192.0.2.1', destinationMac: '02:00:00:00:00:07' },
          'udp4 dst-ip 192.0.2.1 dst-mac 02:00:00:00:00:07',
        ],
      ]
      for (const [rule, words] of cases) {
        writeFileSync(log, '')
        expect(opened(veth.a, { queueId: 2, steer: [rule] })).toBe('closed\n')
        const ours = lines()
        writeFileSync(log, '')
        driven('ethtool', ['-N', veth.a, 'flow-type', ...words.split(' '), 'action', '2'])
        expect(ours, words).toEqual([...lines(), 'delete 100'])
      }
    })

    test('installs one for each version of IP where the rule names none, and removes each', () => {
      using veth = vethPair({ queues: 2 })
      expect(
        opened(veth.a, { steer: [{ protocol: 'udp', destinationPort: 7 }, { etherType: 0x88b5 }] }),
      ).toBe('closed\n')
      expect(lines().map((line) => line.split(' ').slice(0, 2).join(' '))).toEqual([
        'insert 100',
        'insert 101',
        'insert 102',
        'delete 102',
        'delete 101',
        'delete 100',
      ])
    })

    test('uses the last free places of a table whose places the caller chooses', () => {
      using veth = vethPair({ queues: 2 })
      const steer = [{ etherType: 0x88b5 }, { etherType: 0x88b6 }, { etherType: 0x88b7 }]
      expect(opened(veth.a, { steer: steer.slice(1) }, { NTUPLE_SIZE: '8' })).toBe('closed\n')
      expect(lines().map((line) => line.split(' ')[1])).toEqual(['7', '6', '6', '7'])
      writeFileSync(log, '')
      expect(opened(veth.a, { steer }, { NTUPLE_SIZE: '2' })).toMatch(
        /^ENOSPC ioctl ENOSPC: ioctl: ETHTOOL_SRXCLSRLINS of ".*": all 2 places of its table are taken\n$/,
      )
      expect(lines().map((line) => line.split(' ')[1])).toEqual(['1', '0', '0', '1'])
    })

    test('removes the rules installed before a refused one', () => {
      using veth = vethPair({ queues: 2 })
      const steer = [{ etherType: 0x88b5 }, { etherType: 0x88b6 }]
      expect(opened(veth.a, { channels: 1, steer }, { NTUPLE_FULL: '1' })).toMatch(
        /^EINVAL ioctl .*its driver does not take the rule \(of its queues it has one, 0\)\n$/,
      )
      expect(lines().map((line) => line.split(' ')[0])).toEqual(['insert', 'delete'])
      expect(counts(veth.a)).toEqual({ rx: 2, tx: 2 })
    })
  })
})
