/** Without a prebuild, the error names a command, and that command works. It fetches cmake-js with npx. */
import { access } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { run, Sandbox } from './tarball.js'

let sandbox: Sandbox
let consumer: string

beforeAll(async () => {
  sandbox = await Sandbox.create()
  consumer = await sandbox.install(await sandbox.pack({ prebuild: false }))
}, 600_000)

afterAll(() => sandbox?.remove())

test('an installed package without a prebuild says how to build it, and builds so', {
  timeout: 600_000,
}, async () => {
  const load = `import('ibverbs').then((m) => console.log(m.Arena.allocate(4096).byteLength)).catch((e) => console.log(e.message))`
  const installed = join(consumer, 'node_modules/ibverbs')
  const refused = await run([process.execPath, '--eval', load], { cwd: consumer, env: await sandbox.bare() })
  const libc = /\((glibc|musl)\)/.exec(refused.stdout)?.[1]
  const command = `npx --yes --package cmake-js@8 --package node-addon-api@8 cmake-js compile --directory '${installed}'`
  expect(refused.stdout).toBe(
    `ibverbs: no addon for linux-${process.arch} (${libc}) in ${installed}. Build it with: ${command} ` +
      '(needs g++, make, cmake and headers; on Debian: apt-get install g++ make cmake libibverbs-dev librdmacm-dev libuv1-dev)\n',
  )

  const built = await run(['sh', '-c', command], { cwd: '/', env: { npm_config_prefer_offline: 'true' } })
  expect(built, built.stderr).toMatchObject({ code: 0 })
  await access(join(installed, 'build/Release/ibverbs.node'))
  const loaded = await run([process.execPath, '--eval', load], { cwd: consumer, env: await sandbox.bare() })
  expect(loaded).toEqual({ code: 0, stdout: '4096\n', stderr: '' })
})
