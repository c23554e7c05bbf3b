// The software ConnectX and the kernel's SoftRoCE on one wire: two implementations of RoCEv2 that know nothing of each
// other. One end is our own ping, the other rdma-core's program, in both roles. Only in the VM: it needs rxe.

import { readFileSync } from 'node:fs'
import { softLibraryPath } from 'ibverbs/soft'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { execFileSync } from '../beds/child.js'
import { Running, start } from '../cli/run.js'

vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 })

const types = ['rc', 'uc', 'ud'] as const
// More than the MTU where that may be, so that messages are segmented and put together; asleep between messages.
const common = (type: (typeof types)[number]) => ['-n', '20', '-s', type === 'ud' ? '1024' : '5000', '-e']

/** The port's MAC is its interface's, so that the kernel answers for its link-local address. */
const soft = { IBVERBS_SOFT: 'interface:soft0@02:00:00:00:01:a0?mtu=1024' }
const preloaded = () => ({ ...soft, LD_PRELOAD: softLibraryPath() })

const run = (command: string, ...args: string[]) => execFileSync(command, args, { stdio: 'pipe' })

beforeAll(async () => {
  run(
    'ip',
    ...'link add soft0 address 02:00:00:00:01:a0 type veth peer name rxe2net address 02:00:00:00:01:b0'.split(
      ' ',
    ),
  )
  run('ip', 'link', 'set', 'soft0', 'up')
  run('ip', 'link', 'set', 'rxe2net', 'up')
  // rxe takes the addresses that are there when it is added.
  await vi.waitUntil(() => / 20 .* rxe2net$/m.test(readFileSync('/proc/net/if_inet6', 'utf8')), {
    timeout: 10_000,
  })
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
