// The software ConnectX' port on a real interface: two of them on a veth pair in a namespace of the test's own.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { spawnSync } from '../beds/child.js'
import { main } from '../cli/run.js'
import { buildEngine } from './engine/build.js'

let program: string
beforeAll(() => {
  program = buildEngine('engine_interface')
}, 300_000)

const setup = [
  'ip link add soft0 type veth peer name soft1',
  'ip addr add 10.9.0.1/24 dev soft0',
  'ip link set soft0 up',
  'ip link set soft1 up',
  // Before that an interface drops its frames (the kernel's linkwatch runs asynchronously).
  'for i in soft0 soft1; do until ip link show $i | grep -q "state UP"; do :; done; done',
  'ip neigh replace 10.9.0.2 lladdr 02:00:00:00:00:02 dev soft0',
].join(' && ')

const names = ['interface_wire', 'interface_kernel', 'interface_fields'].flatMap((file) => {
  const source = readFileSync(join(import.meta.dirname, `engine/${file}.cc`), 'utf8')
  return [...source.matchAll(/^TEST\((\w+)\)/gm)].map((match) => match[1])
})

/** Runs a shell command in a network namespace of its own. */
function inNamespace(command: string, ...words: string[]) {
  const how = process.getuid!() === 0 ? ['--net'] : ['--map-root-user', '--net']
  return spawnSync('unshare', [...how, 'sh', '-c', command, ...words], { encoding: 'utf8' })
}

test.each(names)('%s', (name) => {
  const run = inNamespace(`${setup} && exec ${program} ${name}`)
  expect(run.stderr).toBe('')
  expect(run.stdout).toBe(`ok ${name}\n`)
})

test('sysfs says whether the interface has a carrier', () => {
  // As libibverbs and its drivers read it.
  const script = `
import ctypes
verbs = ctypes.CDLL('libibverbs.so.1')
verbs.ibv_get_device_list(None)
for device in 'mlx5_soft0', 'mlx5_soft1':
  for file in b'state', b'phys_state':
    text = ctypes.create_string_buffer(64)
    verbs.ibv_read_sysfs_file(f'/sys/class/infiniband/{device}/ports/1'.encode(), file, text, 64)
    print(device, text.value.decode())`
  const half = 'ip link add soft2 type veth peer name soft3 && ip link set soft2 up'
  const wires = '-w interface:soft0 -w interface:soft2'
  const run = inNamespace(
    `${setup} && ${half} && exec "$0" "$1" soft ${wires} -- python3 -c "$2"`,
    ...[process.execPath, main, script],
  )
  expect(run.stderr).toBe('')
  expect(run.stdout.trimEnd().split('\n')).toEqual([
    ...['mlx5_soft0 4: ACTIVE', 'mlx5_soft0 5: LinkUp'],
    ...['mlx5_soft1 1: DOWN', 'mlx5_soft1 3: Disabled'],
  ])
})
