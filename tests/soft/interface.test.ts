// The software ConnectX' port on a real interface: two of them on a veth pair in a namespace of the test's own.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { spawnSync } from '../beds/child.js'
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

const source = readFileSync(join(import.meta.dirname, 'engine/interface_wire.cc'), 'utf8')
const names = [...source.matchAll(/^TEST\((\w+)\)/gm)].map((match) => match[1])

test.each(names)('%s', (name) => {
  const how = process.getuid!() === 0 ? ['--net'] : ['--map-root-user', '--net']
  const command = `${setup} && exec ${program} ${name}`
  const run = spawnSync('unshare', [...how, 'sh', '-c', command], { encoding: 'utf8' })
  expect(run.stderr).toBe('')
  expect(run.stdout).toBe(`ok ${name}\n`)
})
