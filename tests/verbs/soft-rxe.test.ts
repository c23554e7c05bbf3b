// The software ConnectX and the kernel's SoftRoCE on one wire: two independent implementations of RoCEv2. One end is
// our own ping, the other rdma-core's program, in both roles; and groups of either family with both as members. Only in
// the VM: it needs rxe.
import { createSocket } from 'node:dgram'
import { readFileSync } from 'node:fs'
import { multicastQueuePair, open } from 'ibverbs'
import { softConnectX, softLibraryPath } from 'ibverbs/soft'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { execFileSync } from '../beds/child.js'
import { completion, expectBytes, grhBytes, pattern, queueKey } from '../beds/rxe.js'
import { Running, start } from '../cli/run.js'

vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 })

const types = ['rc', 'uc', 'ud'] as const
// More than the MTU where possible, so that messages are segmented and reassembled; asleep between messages.
const common = (type: (typeof types)[number]) => ['-n', '20', '-s', type === 'ud' ? '1024' : '5000', '-e']

/** The port's MAC is its interface's, so that the kernel answers for its link-local address; its IPv4 GID is 10.9.0.1. */
const mac = '02:00:0a:09:00:01'
const soft = { IBVERBS_SOFT: 'interface:soft0' }
const preloaded = () => ({ ...soft, LD_PRELOAD: softLibraryPath() })

const run = (command: string, ...args: string[]) => execFileSync(command, args, { stdio: 'pipe' })

beforeAll(async () => {
  run(
    'ip',
    ...`link add soft0 address ${mac} type veth peer name rxe2net address 02:00:00:00:01:b0`.split(' '),
  )
  run('ip', 'address', 'add', '10.9.0.2/24', 'dev', 'rxe2net')
  run('ip', 'link', 'set', 'soft0', 'up')
  run('ip', 'link', 'set', 'rxe2net', 'up')
  // rxe takes the addresses that exist when it is added, and no kernel asks for a neighbour from one that is tentative.
  for (const name of ['soft0', 'rxe2net']) {
    const ready = new RegExp(` 20 80 +${name}$`, 'm')
    await vi.waitUntil(() => ready.test(readFileSync('/proc/net/if_inet6', 'utf8')), { timeout: 10_000 })
  }
  run('rdma', 'link', 'add', 'rxe2', 'type', 'rxe', 'netdev', 'rxe2net')
})

afterAll(() => {
  run('rdma', 'link', 'delete', 'rxe2')
  run('ip', 'link', 'delete', 'soft0')
})

async function exchange(
  type: (typeof types)[number],
  ours: { device: string; env: NodeJS.ProcessEnv },
  theirs: { device: string; env: NodeJS.ProcessEnv },
): Promise<void> {
  const args = common(type)
  const server = start(['ping', '--listen', '-p', '0', '-d', ours.device, '-t', type, '--json', ...args], {
    env: ours.env,
  })
  await server.until(/on TCP port \d+/)
  const port = /on TCP port (\d+)/.exec(server.stderr)?.[1] as string
  const client = await new Running(
    `ibv_${type}_pingpong`,
    [
      '-d',
      theirs.device,
      '-g',
      '0',
      '-p',
      port,
      ...(type === 'ud' ? [] : ['-m', '1024']),
      ...args,
      '127.0.0.1',
    ],
    { env: theirs.env },
  ).finished
  expect(client).toMatchObject({ code: 0, stderr: '' })
  expect(client.stdout).toMatch(/^20 iters in /m)
  const result = await server.finished
  expect(result.code).toBe(0)
  expect(JSON.parse(result.stdout)).toMatchObject({ type, sent: 20, received: 20, complete: true })
}

const kernel = { device: 'rxe2', env: {} }

test.each(types)('%s: ours on rxe, rdma-core on the software ConnectX', async (type) => {
  await exchange(type, kernel, { device: 'mlx5_soft0', env: preloaded() })
})

test.each(types)('%s: ours on the software ConnectX, rdma-core on rxe', async (type) => {
  await exchange(type, { device: 'mlx5_soft0', env: soft }, kernel)
})

test('the port has the active MTU that rxe has on the same interface', async () => {
  const devices = softConnectX({ wire: 'interface:soft0' })
  const contexts = [open('mlx5_soft0'), open('rxe2')]
  // The boundaries of the steps, and usual MTUs: the headers take 80 bytes. (Below 1280 the interface would lose its
  // IPv6 addresses.)
  for (const mtu of [2127, 2128, 4175, 4176, 9000, 1500]) {
    for (const name of ['soft0', 'rxe2net']) run('ip', 'link', 'set', name, 'mtu', `${mtu}`)
    const [ours, theirs] = contexts.map((context) => () => context.queryPort(1).activeMtu)
    // The kernel has reported it; the NIC's thread reads it when it wakes.
    await vi.waitUntil(() => ours() === theirs(), { timeout: 20_000, interval: 1 })
  }
  expect(contexts.map((context) => context.queryPort(1).activeMtu)).toEqual([1024, 1024])
  for (const context of contexts) context.close()
  devices.close()
})

/** A UD queue pair that waits for one datagram. */
function member(device: string) {
  const context = open(device)
  const domain = context.allocateProtectionDomain()
  const cq = context.createCompletionQueue(8)
  const memory = domain.registerMemory(8192)
  const pair = domain.createQueuePair({ type: 'UD', cq, maxSendWr: 4, maxReceiveWr: 4, queueKey })
  pair.connect()
  pair.prepareReceive({ memory }).post(1, 4096, 4096)
  pair.submit()
  return { context, domain, cq, memory, pair }
}

test.each([
  {
    group: '::ffff:239.129.2.3',
    frame: /> 01:00:5e:01:02:03, .* IPv4 .*: 10\.9\.0\.[12]\.\d+ > 239\.129\.2\.3\.4791:/,
  },
  {
    group: 'ff0e::ffff:239.129.2.3',
    frame: /> 33:33:ef:81:02:03, .* IPv6 .*: fe80::\S+ > ff0e::ffff:ef81:203\.4791:/,
  },
])('$group: a group of both, as tcpdump sees it', async ({ group, frame }) => {
  // Only a socket joins a group of the kernel's: without it the kernel does not pass the packets to rxe.
  const socket = createSocket(group.startsWith('::ffff:') ? 'udp4' : 'udp6')
  await new Promise<void>((resolve) => socket.bind(0, resolve))
  if (group.startsWith('::ffff:')) socket.addMembership(group.slice('::ffff:'.length), '10.9.0.2')
  else socket.addMembership(group, '::%rxe2net')
  const devices = softConnectX({ wire: 'interface:soft0' })
  const tcpdump = new Running('tcpdump', [
    ...['-i', 'rxe2net', '-n', '-e', '-c', '2', 'ether multicast and udp port 4791'],
  ])
  await tcpdump.until(/listening on/)
  const ends = [member('mlx5_soft0'), member('rxe2')]
  for (const [from, to] of [ends, [...ends].reverse()]) {
    to.pair.attachMulticast(group)
    from.memory.bytes.set(pattern(700, 5))
    const addressHandle = from.domain.createAddressHandle({ gid: group })
    const address = { addressHandle, remoteQueuePair: multicastQueuePair, remoteQueueKey: queueKey }
    from.pair.prepareSend({ memory: from.memory, ...address }).post(2, 0, 700)
    expect(from.pair.submit()).toBe(1)
    expect(await completion(from.cq)).toMatchObject({ cookie: 2, status: 'SUCCESS' })
    const received = { cookie: 1, status: 'SUCCESS', byteLength: grhBytes + 700, source: from.pair.number }
    expect(await completion(to.cq)).toMatchObject(received)
    expectBytes(to.memory.bytes.subarray(4096 + grhBytes, 4096 + grhBytes + 700), pattern(700, 5))
    to.pair.detachMulticast(group)
  }
  const seen = await tcpdump.finished
  const lines = seen.stdout.trim().split('\n')
  expect(lines).toHaveLength(2)
  for (const line of lines) expect(line).toMatch(frame)
  for (const { context } of ends) context.close()
  devices.close()
  socket.close()
})
