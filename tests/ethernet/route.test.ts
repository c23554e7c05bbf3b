/** resolve(): the kernel's routes and neighbours, against a peer whose end of the wire is in a namespace of its own. */

import { once } from 'node:events'
import { readlinkSync } from 'node:fs'
import { queryInterface, resolve } from 'ibverbs/ethernet'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { attributesOf, decode, encode, fixedPart } from '../../dist/ethernet/interface/netlink/message.js'
import { linkOf, neighbourOf, routeOf } from '../../dist/ethernet/interface/netlink/tables.js'
import { native } from '../../dist/native.js'
import { type ChildProcess, execFileSync, spawn } from '../beds/child.js'
import { Random } from '../beds/random.js'
import { awaitRunning, ip, requireOwnNamespace } from '../beds/veth.js'
import { command, programPath, run } from './program.js'

const [near, far] = ['rtnear', 'rtfar']
const routerMac = '02:00:00:00:0f:01'
let peer: ChildProcess

/** Runs a command in the peer's namespace. */
function inPeer(...words: string[]): string {
  return execFileSync('nsenter', ['-t', String(peer.pid), '-n', ...words], { encoding: 'utf8' })
}

beforeAll(async () => {
  requireOwnNamespace()
  // The process ends with its standard input, which this one holds, and the namespace with the process.
  peer = spawn('unshare', ['--net', 'sh', '-c', 'echo ready; exec cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  await once(peer.stdout!, 'data')
  expect(readlinkSync(`/proc/${peer.pid}/ns/net`)).not.toBe(readlinkSync('/proc/self/ns/net'))
  ip(
    'link',
    'add',
    near,
    'mtu',
    '1400',
    'type',
    'veth',
    'peer',
    'name',
    far,
    'address',
    routerMac,
    'mtu',
    '1400',
  )
  ip('link', 'set', far, 'netns', String(peer.pid))
  // Without duplicate address detection a link-local address is valid at once.
  const atOnce = (name: string): string[] => [
    'sh',
    '-c',
    `echo 0 > /proc/sys/net/ipv6/conf/${name}/accept_dad`,
  ]
  execFileSync('sh', atOnce(near).slice(1))
  inPeer(...atOnce(far))
  ip('link', 'set', 'lo', 'up')
  ip('addr', 'add', '10.66.0.1/24', 'brd', '10.66.0.255', 'dev', near)
  ip('addr', 'add', 'fd66::1/64', 'nodad', 'dev', near)
  ip('link', 'set', near, 'up')
  inPeer('ip', 'addr', 'add', '10.66.0.2/24', 'dev', far)
  inPeer('ip', 'addr', 'add', 'fd66::2/64', 'nodad', 'dev', far)
  inPeer('ip', 'addr', 'add', 'fe80::66/64', 'nodad', 'dev', far)
  inPeer('ip', 'link', 'set', far, 'up')
  awaitRunning(near)
  ip('route', 'add', '10.67.0.0/16', 'via', '10.66.0.2', 'mtu', '1300')
  ip('-6', 'route', 'add', 'fd67::/32', 'via', 'fe80::66', 'dev', near, 'mtu', '1310')
  ip('route', 'add', '10.68.0.0/16', 'via', 'inet6', 'fe80::66', 'dev', near)
  ip('route', 'add', 'unreachable', '10.69.1.0/24')
  ip('route', 'add', 'blackhole', '10.69.2.0/24')
  ip('route', 'add', 'prohibit', '10.69.3.0/24')
  ip('-6', 'route', 'add', 'unreachable', 'fd69:1::/64')
  ip('-6', 'route', 'add', 'blackhole', 'fd69:2::/64')
  ip('-6', 'route', 'add', 'prohibit', 'fd69:3::/64')
})

afterAll(async () => {
  if (!peer) return
  ip('link', 'del', near)
  peer.stdin!.end()
  await once(peer, 'exit')
})

/** Forgets all neighbours. */
function forget(): void {
  ip('neigh', 'flush', 'dev', near, 'nud', 'all')
}

/** Sets the milliseconds between the kernel's two further requests to a neighbour, on this interface only. */
function patience(milliseconds: number): void {
  for (const table of ['arp_cache', 'ndisc_cache']) {
    ip('ntable', 'change', 'name', table, 'dev', near, 'retrans', String(milliseconds))
  }
}

/** The common part of every route through the wire. */
function expected(more: object): object {
  const { index, mac } = queryInterface(near)
  return {
    kind: 'unicast',
    destination: expect.any(String),
    interface: near,
    interfaceIndex: index,
    sourceMac: mac,
    gateway: null,
    mtu: 1400,
    ...more,
  }
}

describe('a neighbour', () => {
  test.each([
    ['10.66.0.2', '10.66.0.1'],
    ['fd66::2', 'fd66::1'],
  ])('%s is asked for, and known from then on', async (destination, source) => {
    forget()
    const way = expected({ source, destinationMac: routerMac })
    expect(await resolve(destination)).toEqual(way)
    expect(ip('neigh', 'show', 'dev', near, destination)).toContain(routerMac)
    const handles = native.handleCount()
    expect(await resolve(destination, { timeout: 1 })).toEqual(way)
    expect(native.handleCount()).toBe(handles)
  })

  test.each([
    ['::ffff:10.66.0.2', '10.66.0.2', '10.66.0.1'],
    ['::FFFF:a42:2', '10.66.0.2', '10.66.0.1'],
    ['fd66:0::2', 'fd66::2', 'fd66::1'],
  ])('%s is %s', async (text, destination, source) => {
    expect(await resolve(text)).toEqual(expected({ destination, source, destinationMac: routerMac }))
  })

  test('many at once', async () => {
    forget()
    const ways = await Promise.all(
      Array.from({ length: 20 }, (_, i) => resolve(i % 2 ? '10.66.0.2' : 'fd66::2')),
    )
    for (const [i, way] of ways.entries()) {
      expect(way).toEqual(expected({ source: i % 2 ? '10.66.0.1' : 'fd66::1', destinationMac: routerMac }))
    }
  })

  test('link-local: by zone, by option, not without', async () => {
    forget()
    const index = queryInterface(near).index
    for (const [destination, options] of [
      [`fe80::66%${near}`, undefined],
      [`fe80::66%${index}`, undefined],
      ['fe80::66', { interface: near }],
      [`fe80::66%${near}`, { interface: near }],
    ] as const) {
      const way = await resolve(destination, options)
      expect(way).toEqual(expected({ source: expect.stringMatching(/^fe80::/), destinationMac: routerMac }))
    }
    await expect(resolve('fe80::66')).rejects.toMatchObject({
      code: 'ERR_OUT_OF_RANGE',
      message: `"destination" must be an address with its interface ('fe80::66%eth0', or options.interface), not 'fe80::66'`,
    })
    await expect(resolve(`fe80::66%${near}`, { interface: 'lo' })).rejects.toMatchObject({
      code: 'ERR_OUT_OF_RANGE',
    })
    await expect(resolve('fe80::66%nosuch')).rejects.toMatchObject({ code: 'ENODEV' })
  })

  test('a permanent entry needs no answer', async () => {
    ip('neigh', 'replace', '10.66.0.77', 'lladdr', '02:00:00:00:00:77', 'dev', near)
    expect(await resolve('10.66.0.77', { timeout: 1 })).toEqual(
      expected({ source: '10.66.0.1', destinationMac: '02:00:00:00:00:77' }),
    )
  })

  test('is found although its notification is lost (ENOBUFS)', async () => {
    forget()
    patience(30_000)
    const waiting = resolve('10.66.0.78', { timeout: 20_000 })
    // More changes than the socket holds, before the event loop turns.
    const lines = Array.from({ length: 600 }, (_, i) => {
      const address = `10.66.0.${100 + (i % 100)}`
      return `neigh replace ${address} lladdr 02:00:00:01:${(i >> 8).toString(16)}:${(i & 255).toString(16)} dev ${near}`
    })
    lines.push(`neigh replace 10.66.0.78 lladdr 02:00:00:00:00:78 dev ${near}`)
    execFileSync('ip', ['-batch', '-'], { input: `${lines.join('\n')}\n` })
    expect(await waiting).toEqual(expected({ source: '10.66.0.1', destinationMac: '02:00:00:00:00:78' }))
  })

  test.runIf(process.getuid?.() === 0)('without CAP_NET_ADMIN a datagram asks', async () => {
    forget()
    for (const [destination, source] of [
      ['10.66.0.2', '10.66.0.1'],
      ['fd66::2', 'fd66::1'],
    ]) {
      const { code, output } = await command(
        'setpriv',
        '--bounding-set=-all',
        '--inh-caps=-all',
        process.execPath,
        programPath('resolve.mjs'),
        destination,
      )
      expect({ code, output: JSON.parse(output) }).toEqual({
        code: 0,
        output: { capabilities: '0000000000000000', route: expected({ source, destinationMac: routerMac }) },
      })
    }
  })
})

describe('a router', () => {
  test('gives the frame’s address; the path’s MTU counts', async () => {
    forget()
    expect(await resolve('10.67.1.2')).toEqual(
      expected({ source: '10.66.0.1', destinationMac: routerMac, gateway: '10.66.0.2', mtu: 1300 }),
    )
    expect(await resolve('fd67::5')).toEqual(
      expected({ source: 'fd66::1', destinationMac: routerMac, gateway: 'fe80::66', mtu: 1310 }),
    )
  })

  test('of IPv6, for IPv4 (RFC 5549)', async () => {
    forget()
    expect(await resolve('10.68.0.1')).toEqual(
      expected({ source: '10.66.0.1', destinationMac: routerMac, gateway: 'fe80::66' }),
    )
  })
})

describe('group, broadcast and local addresses', () => {
  test.each([
    ['224.0.0.251', { interface: near }, 'multicast', '01:00:5e:00:00:fb'],
    ['239.255.129.2', { interface: near }, 'multicast', '01:00:5e:7f:81:02'],
    [`ff02::1:ff00:66%${near}`, undefined, 'multicast', '33:33:ff:00:00:66'],
    ['ff05::2', { interface: near }, 'multicast', '33:33:00:00:00:02'],
    ['10.66.0.255', undefined, 'broadcast', 'ff:ff:ff:ff:ff:ff'],
    ['255.255.255.255', { interface: near }, 'broadcast', 'ff:ff:ff:ff:ff:ff'],
  ] as const)('%s', async (destination, options, kind, destinationMac) => {
    expect(await resolve(destination, { ...options, timeout: 1 })).toEqual(
      expected({ kind, destinationMac, source: expect.stringMatching(/^(10\.66\.0\.1|f[de].*)$/) }),
    )
  })

  test.each(['127.0.0.1', '10.66.0.1', '::1', 'fd66::1'])('%s is local', async (destination) => {
    const { index, mtu } = queryInterface('lo')
    expect(await resolve(destination)).toMatchObject({
      kind: 'local',
      interface: 'lo',
      interfaceIndex: index,
      sourceMac: '00:00:00:00:00:00',
      destinationMac: '00:00:00:00:00:00',
      mtu,
    })
  })
})

describe('no route', () => {
  test.each([
    ['192.0.2.1', 'ENETUNREACH', 'no route to 192.0.2.1 (ip route get 192.0.2.1 says the same)'],
    ['2001:db8::1', 'ENETUNREACH', 'no route to 2001:db8::1 (ip route get 2001:db8::1 says the same)'],
    ['10.69.1.1', 'EHOSTUNREACH', 'the route to 10.69.1.1 is unreachable'],
    ['10.69.2.1', 'EHOSTUNREACH', 'the route to 10.69.2.1 is a blackhole'],
    ['10.69.3.1', 'EACCES', 'the route to 10.69.3.1 is prohibited'],
    ['::ffff:10.69.3.1', 'EACCES', 'the route to ::ffff:10.69.3.1 is prohibited'],
    ['fd69:1::1', 'EHOSTUNREACH', 'the route to fd69:1::1 is unreachable'],
    ['fd69:2::1', 'EHOSTUNREACH', 'the route to fd69:2::1 is a blackhole'],
    ['fd69:3::1', 'EACCES', 'the route to fd69:3::1 is prohibited'],
  ])('to %s: %s', async (destination, code, detail) => {
    await expect(resolve(destination)).rejects.toMatchObject({
      name: 'VerbsError',
      code,
      syscall: 'RTM_GETROUTE',
      message: `${code}: RTM_GETROUTE: ${detail}`,
    })
  })

  test.each(['10.66.0.9', 'fd66::9'])('nobody answers for %s: the kernel gives up', async (destination) => {
    const handles = native.handleCount()
    patience(100)
    for (let i = 0; i < 2; i++) {
      // The second time the table has a failed entry.
      await expect(resolve(destination)).rejects.toMatchObject({
        code: 'ETIMEDOUT',
        syscall: 'RTM_GETNEIGH',
        message: `ETIMEDOUT: RTM_GETNEIGH: no answer from ${destination} on "${near}", the next hop to ${destination}`,
      })
    }
    expect(native.handleCount()).toBe(handles)
  })

  test('the timeout ends before the kernel gives up; the signal ends the wait', async () => {
    forget()
    patience(5000)
    await expect(resolve('10.66.0.10', { timeout: 20 })).rejects.toMatchObject({
      code: 'ETIMEDOUT',
      message: `ETIMEDOUT: RTM_GETNEIGH: no answer in 20 ms from 10.66.0.10 on "${near}", the next hop to 10.66.0.10`,
    })
    const reason = new Error('enough')
    await expect(resolve('10.66.0.2', { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    const controller = new AbortController()
    const waiting = resolve('10.66.0.11', { signal: controller.signal })
    setImmediate(() => controller.abort(reason))
    await expect(waiting).rejects.toBe(reason)
  })

  test('the neighbour is removed, or the interface goes down, during a wait', async () => {
    forget()
    const waiting = resolve('10.66.0.12')
    setImmediate(() => ip('link', 'set', near, 'down'))
    try {
      await expect(waiting).rejects.toMatchObject({
        code: 'EHOSTUNREACH',
        message: `EHOSTUNREACH: RTM_GETNEIGH: 10.66.0.12 on "${near}", the next hop to 10.66.0.12, was removed from the table`,
      })
      await expect(resolve('10.66.0.2')).rejects.toMatchObject({ code: 'ENETUNREACH' })
    } finally {
      ip('link', 'set', near, 'up')
    }
  })

  test('workers terminated while they wait leave nothing behind', async () => {
    patience(30_000)
    const { code, output } = await run('resolving.mjs', '10.66.0.13')
    expect(code, output).toBe(0)
    const { before, after } = JSON.parse(output)
    expect(after).toEqual(before)
  }, 60_000)

  test('arguments', async () => {
    for (const [destination, options, code] of [
      ['10.66.0', undefined, 'ERR_OUT_OF_RANGE'],
      ['example.com', undefined, 'ERR_OUT_OF_RANGE'],
      ['', undefined, 'ERR_OUT_OF_RANGE'],
      [5, undefined, 'ERR_INVALID_ARG_TYPE'],
      ['10.66.0.2', { timeout: 0 }, 'ERR_OUT_OF_RANGE'],
      ['10.66.0.2', { interface: 5 }, 'ERR_INVALID_ARG_TYPE'],
      ['10.66.0.2', { interface: 'nosuch' }, 'ENODEV'],
      ['10.66.0.2', { signal: {} }, 'ERR_INVALID_ARG_TYPE'],
      ['10.66.0.2', null, 'ERR_INVALID_ARG_TYPE'],
    ] as const) {
      await expect(resolve(destination as never, options as never)).rejects.toMatchObject({ code })
    }
  })
})

describe('messages', () => {
  const list = [
    [1, Uint8Array.of(1, 2, 3)],
    [8, Uint8Array.of(4, 5, 6, 7)],
    [0x4001, new Uint8Array()],
  ] as const

  test('decode as encoded', () => {
    const bytes = encode(24, 1, 77, fixedPart([1, 2], [1, 3], [2, 4], [4, 5], [4, 6]), list)
    const [message, ...more] = decode(Uint8Array.of(...bytes, ...bytes))
    expect(more).toHaveLength(1)
    expect(message).toMatchObject({ type: 24, sequence: 77 })
    expect([...attributesOf(message.body, 12)]).toEqual([
      [1, new Uint8Array()],
      [8, Uint8Array.of(4, 5, 6, 7)],
    ])
  })

  test('truncated or damaged in any way they give EBADMSG or a result, never a crash or an endless loop', () => {
    const random = new Random(5)
    const whole = encode(24, 1, 77, fixedPart([4, 2], [4, 3], [4, 5]), [
      [8, encode(0, 0, 0, new Uint8Array(), []).subarray(0, 4)],
      [12, new Uint8Array(32)],
      ...list,
    ])
    const outcomes = new Set<string>()
    const read = (bytes: Uint8Array): void => {
      try {
        for (const message of decode(bytes)) {
          for (const parse of [routeOf, linkOf, neighbourOf]) parse(message)
        }
        outcomes.add('read')
      } catch (error) {
        outcomes.add((error as { code?: string }).code ?? String(error))
      }
    }
    for (let length = 0; length <= whole.length; length++) read(whole.slice(0, length))
    for (let i = 0; i < 5000; i++) {
      const damaged = whole.slice(0, random.below(whole.length + 1))
      for (let n = random.below(4); n >= 0 && damaged.length > 0; n--) {
        damaged[random.below(damaged.length)] = random.pick([0, 1, 2, 3, 4, 5, 127, 128, 255])
      }
      read(damaged)
    }
    expect([...outcomes].sort()).toEqual(['EBADMSG', 'read'])
  })

  test('the binding refuses invalid handles and messages', () => {
    const { netlink } = native
    const handle = netlink.open(0)
    expect(netlink.receive(handle)).toBe(null)
    for (const junk of [
      undefined,
      null,
      -1,
      0,
      1,
      2 ** 31,
      Number.NaN,
      'x',
      {},
      [],
      new Uint32Array(4),
      1n,
    ]) {
      const refusal = expect.objectContaining({
        code: expect.stringMatching(/^ERR_(INVALID_ARG_TYPE|OUT_OF_RANGE|IBVERBS_CLOSED)$/),
      })
      expect(() => netlink.send(junk as never, new Uint8Array(16))).toThrow(refusal)
      expect(() => netlink.send(handle, junk as never)).toThrow(refusal)
      expect(() => netlink.receive(junk as never)).toThrow(refusal)
      if (typeof junk !== 'number') expect(() => netlink.open(junk as never)).toThrow(refusal)
    }
    expect(() => netlink.send(handle, 'x' as never)).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }),
    )
    expect(() => netlink.open(0, 5 as never)).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }),
    )
    expect(() => netlink.open(-1)).toThrow(expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' }))
    expect(native.close(handle, 7)).toBe(true)
    expect(() => netlink.receive(handle)).toThrow(expect.objectContaining({ code: 'ERR_IBVERBS_CLOSED' }))
  })
})
