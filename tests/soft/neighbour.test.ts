// Neighbours on a real interface: the software ConnectX has the kernel find them, whose questions tcpdump sees. A kernel
// of its own, in a namespace of its own, is at the other end of the wire.
import { expect, test } from 'vitest'
import { spawnSync } from '../beds/child.js'
import { main } from '../cli/run.js'

const setup = `
set -e
mount -t tmpfs tmpfs /run
ip netns add peer
ip link add soft0 address 06:00:00:00:00:01 type veth peer name soft1 address 06:00:00:00:00:02 netns peer
ip address add 10.9.0.1/24 dev soft0
ip address add fd09::1/64 dev soft0 nodad
# A kernel whose link-local address is tentative asks nobody: without duplicate address detection it soon is not.
echo 0 >/proc/sys/net/ipv6/conf/soft0/accept_dad
ip netns exec peer sh -c 'echo 0 >/proc/sys/net/ipv6/conf/soft1/accept_dad'
ip link set soft0 up
ip -n peer address add 10.9.0.2/24 dev soft1
ip -n peer address add fd09::2/64 dev soft1 nodad
ip -n peer link set soft1 up
until ip link show soft0 | grep -q 'state UP'; do :; done
until ip -6 address show dev soft0 scope link -tentative | grep -q fe80; do :; done
until ip -n peer -6 address show dev soft1 scope link -tentative | grep -q fe80; do :; done
`

const program = `
import { open } from 'ibverbs'
const context = open('mlx5_soft0')
const domain = context.allocateProtectionDomain()
const cq = context.createCompletionQueue(8)
const memory = domain.registerMemory(4096)
const gids = Object.fromEntries(context.queryGidTable().map(({ gid, index }) => [gid, index]))
const v4 = gids['::ffff:10.9.0.1']
const v6 = gids['fd09::1']
`

/** Runs a module in a network namespace with a peer. \`before\` and \`after\`: shell; \`by\`: what the module is run by. */
function run(module: string, { before = '', by = '', after = '', stderr = '' } = {}) {
  const command = `${before}\n${by} "$0" --input-type=module -e "$1"\n${after}`
  return inNamespace(
    command,
    [process.execPath, program + module],
    { IBVERBS_SOFT: 'interface:soft0' },
    stderr,
  )
}

function inNamespace(command: string, words: string[], environment = {}, stderr = '') {
  const how = process.getuid!() === 0 ? [] : ['--map-root-user']
  const child = spawnSync('unshare', [...how, '--net', '--mount', 'sh', '-c', setup + command, ...words], {
    encoding: 'utf8',
    env: { ...process.env, ...environment },
  })
  expect(child.stderr).toBe(stderr)
  expect(child.status).toBe(0)
  return child.stdout
}

test('the kernel asks for a neighbour, and datagrams go to the one that answered', () => {
  const seen = run(
    `
const pair = domain.createQueuePair({ type: 'UD', cq, maxSendWr: 4, maxReceiveWr: 1 })
pair.connect()
for (const [gid, gidIndex] of [['::ffff:10.9.0.2', v4], ['fd09::2', v6], ['::ffff:10.9.0.3', v4]]) {
  const addressHandle = domain.createAddressHandle({ gid, gidIndex })
  pair.prepareSend({ memory, addressHandle, remoteQueuePair: 5, remoteQueueKey: 1 }).post(1, 0, 8)
  pair.submit()
}
for (let done = 0; done < 3; done += cq.poll(3)) await new Promise(setImmediate)
context.close()`,
    {
      before: `
ip neigh replace 10.9.0.3 lladdr 06:00:00:00:00:33 dev soft0
ip netns exec peer tcpdump --immediate-mode -l -n -e -i soft1 >/run/seen 2>/run/words &
until grep -q 'listening on' /run/words; do :; done`,
      after: `
until grep -q '10.9.0.3.4791' /run/seen; do :; done
kill $!
grep -E 'Request|solicitation.*fd09::2|4791' /run/seen`,
    },
  )
  const lines = seen.trim().split('\n')
  const expected = [
    /06:00:00:00:00:01 > ff:ff:ff:ff:ff:ff, .* who-has 10\.9\.0\.2 .*tell 10\.9\.0\.1/,
    /06:00:00:00:00:01 > 06:00:00:00:00:02, .* 10\.9\.0\.1\.\d+ > 10\.9\.0\.2\.4791: UDP/,
    /06:00:00:00:00:01 > 33:33:ff:00:00:02, .* neighbor solicitation, who has fd09::2/,
    /06:00:00:00:00:01 > 06:00:00:00:00:02, .* fd09::1\.\d+ > fd09::2\.4791: UDP/,
    /06:00:00:00:00:01 > 06:00:00:00:00:33, .* 10\.9\.0\.1\.\d+ > 10\.9\.0\.3\.4791: UDP/,
  ]
  for (const line of expected) expect(lines.filter((seenLine) => line.test(seenLine))).toHaveLength(1)
  expect(seen).not.toMatch(/who-has 10\.9\.0\.3/) // the table has it
})

test('nobody answers: the error after a second, in words; no route: at once', () => {
  const result = JSON.parse(
    run(
      `
const { unlinkSync } = await import('node:fs')
const pair = domain.createQueuePair({ type: 'RC', cq, maxSendWr: 1, maxReceiveWr: 1, gidIndex: v4 })
const endpoint = { ...pair.endpoint, gid: '::ffff:10.9.0.79' }
const results = []
for (const attempt of [
  () => domain.createAddressHandle({ gid: '::ffff:10.9.0.77', gidIndex: v4 }),
  () => domain.createAddressHandle({ gid: '::ffff:10.9.0.78', gidIndex: v4 }),
  () => domain.createAddressHandle({ gid: 'fd09::77', gidIndex: v6 }),
  () => pair.connect(endpoint),
  () => domain.createAddressHandle({ gid: '2001:db8::1', gidIndex: v6 }),
  () => domain.createAddressHandle({ gid: '::ffff:10.9.0.1', gidIndex: v4 }),
]) {
  const began = performance.now()
  let words = 'none'
  try {
    attempt()
  } catch (error) {
    words = error.message
  }
  results.push([words, performance.now() - began])
}
console.log(JSON.stringify(results))
context.close()`,
      { before: 'ip neigh replace 10.9.0.78 nud failed dev soft0' },
    ),
  ) as [string, number][]
  const second = [expect.toSatisfy((ms: number) => ms >= 990 && ms < 10_000)]
  expect(result).toEqual([
    [expect.stringMatching(/^ETIMEDOUT: ibv_create_ah: .*10\.9\.0\.77.*nobody there answers/), ...second],
    [expect.stringMatching(/^ETIMEDOUT: ibv_create_ah: .*10\.9\.0\.78.*nobody there answers/), ...second],
    [expect.stringMatching(/^ETIMEDOUT: ibv_create_ah: .*fd09::77.*nobody there answers/), ...second],
    [expect.stringMatching(/^ETIMEDOUT: ibv_modify_qp.*10\.9\.0\.79.*nobody there answers/), ...second],
    [expect.stringMatching(/^ENETUNREACH: ibv_create_ah: .*2001:db8::1/), expect.any(Number)],
    ['none', expect.any(Number)],
  ])
})

test('without CAP_NET_ADMIN a datagram makes the kernel ask, and it is told what else is missing', () => {
  run(
    `
domain.createAddressHandle({ gid: '::ffff:10.9.0.2', gidIndex: v4 })
domain.createAddressHandle({ gid: 'fd09::2', gidIndex: v6 })
for (let i = 0; i < 2; i++) domain.createQueuePair({ type: 'UD', cq, maxSendWr: 1, maxReceiveWr: 1 })
context.close()`,
    {
      by: 'setpriv --bounding-set=-net_admin',
      stderr:
        "ibverbs soft: mlx5_soft0: the kernel's own stack also gets, and may answer, the frames of queue pairs and flow " +
        'rules: Operation not permitted (keeping them from it takes CAP_NET_ADMIN)\n',
    },
  )
})

test('while one thread waits for a neighbour, others go on with the same context', () => {
  const script = `
import threading
from ctypes import *
verbs = CDLL('libibverbs.so.1')
verbs.ibv_get_device_list.restype = POINTER(c_void_p)
for name in 'open_device', 'alloc_pd', 'create_ah':
  getattr(verbs, 'ibv_' + name).restype = c_void_p
class Route(Structure):
  _fields_ = [('gid', c_uint64 * 2), ('flow', c_uint32), ('index', c_uint8), ('hops', c_uint8), ('traffic', c_uint8)]
class Address(Structure):
  _fields_ = [('route', Route), ('lid', c_uint16)] + [(name, c_uint8) for name in ('sl', 'path', 'rate', 'grh', 'port')]
def gid(host): return (c_uint64 * 2).from_buffer_copy(bytes(10) + bytes([255, 255, 10, 9, 0, host]))
context = c_void_p(verbs.ibv_open_device(c_void_p(verbs.ibv_get_device_list(None)[0])))
own, index = (c_uint64 * 2)(), 0
while bytes(own) != bytes(gid(1)):
  assert verbs.ibv_query_gid(context, c_uint8(1), index, byref(own)) == 0
  index += 1
address = Address(Route(gid(77), 0, index - 1), grh=1, port=1)
domain = c_void_p(verbs.ibv_alloc_pd(context))
handles = []
waiting = threading.Thread(target=lambda: handles.append(verbs.ibv_create_ah(domain, byref(address))))
waiting.start()
while '10.9.0.77' not in open('/proc/net/arp').read(): pass
meanwhile = 0
while not handles:
  assert verbs.ibv_dealloc_pd(c_void_p(verbs.ibv_alloc_pd(context))) == 0
  meanwhile += 1
print(handles, meanwhile > 10)`
  const command = 'exec "$0" "$1" soft -w interface:soft0 -- python3 -c "$2"'
  expect(inNamespace(command, [process.execPath, main, script])).toBe('[None] True\n')
})
