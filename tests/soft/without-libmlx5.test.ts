/** Where libibverbs has no driver for a ConnectX, the error says so. */

import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { spawnSync } from '../beds/child.js'

const project = fileURLToPath(new URL('../..', import.meta.url))

/** Runs a module in a mount namespace of its own, where libibverbs is told of no driver (/etc/libibverbs.d). */
function withoutDrivers(script: string, env: Record<string, string> = {}): string {
  const how = process.getuid!() === 0 ? ['--mount'] : ['--map-root-user', '--mount']
  const command = 'mount -t tmpfs none /etc/libibverbs.d && exec "$0" --input-type=module -e "$1"'
  const run = spawnSync('unshare', [...how, 'sh', '-c', command, process.execPath, script], {
    cwd: project,
    encoding: 'utf8',
    env: { ...process.env, ...env },
  })
  expect(run.stderr).toBe('')
  return run.stdout
}

const missing = 'libibverbs found no driver for it: libmlx5, apt-get install ibverbs-providers'

test('softConnectX() creates nothing', () => {
  const told = withoutDrivers(`
    import { softConnectX } from 'ibverbs/soft'
    for (let i = 0; i < 2; i++) try { softConnectX() } catch ({ code, message }) { console.log(code, message) }`)
  const line = `ENODEV ENODEV: ibv_get_device_list: mlx5_soft0 is not listed: ${missing}\n`
  expect(told).toBe(line + line)
})

test('open() with IBVERBS_SOFT', () => {
  const script = `
    import { open } from 'ibverbs'
    try { open() } catch ({ code, message }) { console.log(code, message) }`
  const told = withoutDrivers(script, { IBVERBS_SOFT: 'loop' })
  expect(told).toBe(
    'ENODEV ENODEV: ibv_open_device: this machine has no RDMA device: ' +
      `there are those of IBVERBS_SOFT, but ${missing}; 'ibverbs doctor' tells more\n`,
  )
})
