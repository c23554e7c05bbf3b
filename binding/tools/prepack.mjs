#!/usr/bin/env node
// npm pack and npm publish: compiles lib/ anew into dist/, and refuses to pack without the addon of this platform, since
// what would be published so is a package that its users have to build; or with one of other sources, which lib/ would
// refuse to load.
//
// A package of the sources alone: npm run build:lib, then npm pack --ignore-scripts.

import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
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
const [addon] = prebuilt
const sources = readFileSync(join(project, 'binding/addon.cc'), 'utf8')
const wanted = Number(/kRecordVersion = (\d+)/.exec(sources)?.[1])
const { recordVersion } = createRequire(import.meta.url)(join(project, addon))
if (recordVersion !== wanted) {
  console.error(
    `prepack: ${addon} has version ${recordVersion} of the records and the sources ${wanted}: make it anew with 'npm run prebuild'`,
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
