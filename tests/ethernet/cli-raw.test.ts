/** The commands on raw packet queue pairs: ports of software ConnectX, one in each of two processes, on one wire. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { start } from '../cli/run.js'

const port = 'mlx5_soft0/1'
let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ibverbs-raw-'))
})

afterEach(() => rmSync(folder, { recursive: true }))

/** A command in a process that has one end of the wire. */
const onWire = (mac: string, ...words: string[]) =>
  start(words, { env: { IBVERBS_SOFT: `socket:${join(folder, 'wire')}@${mac}` } })
const [here, there] = ['02:00:00:00:00:01', '02:00:00:00:00:02']

test.each([
  ['mlx5', []],
  ['raw_packet_qp', ['--backend', 'raw_packet_qp']],
] as const)('generate sends, dump receives: %s', async (backend, driver) => {
  const dumping = onWire(
    there,
    'dump',
    port,
    ...driver,
    '--check',
    '--json',
    '-c',
    '500',
    'ether proto 0x88b5',
  )
  await dumping.until(new RegExp(`^listening on .*, ${backend}$`, 'm'))
  const flags = ['--to', there, '-r', '5k', '-c', '500', '--json', ...driver]
  const generated = await onWire(here, 'generate', port, ...flags).finished
  expect(generated).toMatchObject({ code: 0, stderr: '' })
  expect(JSON.parse(generated.stdout)).toMatchObject({ backend, sent: 500 })
  const { code, stdout } = await dumping.finished
  expect(code).toBe(0)
  expect(JSON.parse(stdout)).toMatchObject({ frames: 500, lost: 0, duplicated: 0, reordered: 0 })
})

test('what was sent arrives, though the peer sleeps until the sender has ended', async () => {
  const dumping = onWire(there, 'dump', port, '--check', '--json', '-c', '500', 'ether proto 0x88b5')
  await dumping.until(/^listening on .*, mlx5$/m)
  dumping.child.kill('SIGSTOP')
  // More frames than the socket between the two has room for.
  const generating = onWire(here, 'generate', port, '--to', there, '-r', '5k', '-c', '500', '--json')
  await generating.until(/"sent":500/)
  dumping.child.kill('SIGCONT')
  expect(await generating.finished).toMatchObject({ code: 0, stderr: '' })
  const { code, stdout } = await dumping.finished
  expect(code).toBe(0)
  expect(JSON.parse(stdout)).toMatchObject({ frames: 500, lost: 0, duplicated: 0, reordered: 0 })
})

test('reflect returns the frames that generate counts', async () => {
  const reflecting = onWire(there, 'reflect', port)
  await reflecting.until(/^reflecting on .*, mlx5$/m)
  const clock = ['--timestamps', 'hardware']
  const flags = ['--to', there, '-r', '5k', '-c', '500', '--receive', '--json', '--linger', '5', ...clock]
  const { code, stdout } = await onWire(here, 'generate', port, ...flags).finished
  expect({ code, received: JSON.parse(stdout).received }).toMatchObject({
    code: 0,
    received: { frames: 500, lost: 0, duplicated: 0, reordered: 0 },
  })
  reflecting.child.kill('SIGINT')
  expect((await reflecting.finished).stdout).toMatch(
    /^500 frames reflected, 0 left alone, 0 dropped by kernel/,
  )
})

test('forward joins two devices', async () => {
  const socket = (name: string, mac: string) => `socket:${join(folder, name)}@${mac}`
  const [left, right] = [socket('left', '02:00:00:00:00:11'), socket('right', '02:00:00:00:00:12')]
  const forwarding = start(['forward', port, 'mlx5_soft1/1', '--transparent', '--json'], {
    env: { IBVERBS_SOFT: `${left};${right}` },
  })
  await forwarding.until(/^forwarding between .*, mlx5$/m)
  const dumping = start(['dump', port, '--check', '--json', '-c', '500'], {
    env: { IBVERBS_SOFT: socket('right', there) },
  })
  await dumping.until(/^listening on/m)
  const flags = ['--to', there, '-r', '5k', '-c', '500']
  const generating = start(['generate', port, ...flags], { env: { IBVERBS_SOFT: socket('left', here) } })
  expect(await generating.finished).toMatchObject({ code: 0, stderr: '' })
  const { stdout } = await dumping.finished
  expect(JSON.parse(stdout)).toMatchObject({ frames: 500, lost: 0, duplicated: 0, reordered: 0 })
  forwarding.child.kill('SIGINT')
  expect(JSON.parse((await forwarding.finished).stdout).directions).toMatchObject([
    { frames: 500 },
    { frames: 0 },
  ])
})

test('dump with the device’s clock', async () => {
  const dumping = onWire(there, 'dump', port, '--timestamps', 'hardware', '-c', '1', 'ether proto 0x88b5')
  await dumping.until(/^listening on .*, mlx5$/m)
  const generating = onWire(here, 'generate', port, '--to', there, '-r', '5k', '-c', '20')
  expect(await generating.finished).toMatchObject({ code: 0 })
  const { code, stdout } = await dumping.finished
  expect(code).toBe(0)
  expect(stdout).toMatch(/^\d\d:\d\d:\d\d\.\d{6} /)
})

test('the error names an unsupported option', async () => {
  const clock = await onWire(here, 'dump', port, '--timestamps', 'software').finished
  expect(clock.code).toBe(2)
  expect(clock.stderr).toContain("ibverbs dump: '--timestamps software' needs af_packet, not mlx5\n")
  const { code, stderr } = await onWire(here, 'dump', port, '-Q', 'inout').finished
  expect(code).toBe(2)
  expect(stderr).toContain("ibverbs dump: '-Q inout' needs af_packet: mlx5 sees what arrives\n")
})
