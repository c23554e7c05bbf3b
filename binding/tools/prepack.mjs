#!/usr/bin/env node
// npm pack and npm publish: compiles lib/ anew into dist/, and refuses to pack without the addon of this platform, since
// what would be published so is a package that its users have to build.
//
// A package of the sources alone: npm run build:lib, then npm pack --ignore-scripts.

import { spawnSync } from 'node:child_process'
import { existsSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'

const project = resolve(import.meta.dirname, '../..')
const libc = existsSync('/etc/alpine-release') ? 'musl' : 'glibc' // as node-gyp-build tells them apart
const prebuilt = [`ibverbs.${libc}.node`, `libibverbs_soft.${libc}.so`].map((name) =>
  join('prebuilds', `${process.platform}-${process.arch}`, name),
)

const lacking = prebuilt.filter((file) => !existsSync(join(project, file)))
if (lacking.length > 0) {
  console.error(`prepack: no ${lacking.join(', no ')}: make it with 'npm run prebuild' first`)
  console.error(
    "prepack: a package of the sources alone: 'npm run build:lib', then 'npm pack --ignore-scripts'",
  )
  process.exit(1)
}
rmSync(join(project, 'dist'), { recursive: true, force: true })
const { status, error } = spawnSync('npm', ['run', '--silent', 'build:lib'], {
  cwd: project,
  stdio: 'inherit',
})
if (error) throw error
process.exit(status ?? 1)
