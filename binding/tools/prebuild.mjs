#!/usr/bin/env node
// npm run prebuild [-- --arch arm64] [--out FOLDER] [--built]: the addon as it is shipped, prebuilds/linux-ARCH/ibverbs.LIBC.node,
// and the software ConnectX beside it, libibverbs_soft.LIBC.so. With --built what `npm run build:native` has built is taken
// instead of a build of its own.
//
// For another architecture than this machine's it takes Debian's cross compiler (apt-get install
// g++-aarch64-linux-gnu). What it links against is this machine's C library: what ships is built in old containers
// (.github/workflows/prebuild.yml).

import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, renameSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import prebuildify from 'prebuildify'
import { findCommand } from './packages.mjs'

const project = resolve(import.meta.dirname, '../..')
const { values } = parseArgs({
  options: {
    arch: { type: 'string', default: process.arch },
    out: { type: 'string', default: project },
    built: { type: 'boolean', default: false },
  },
})
const { arch, out } = values
const libc = existsSync('/etc/alpine-release') ? 'musl' : 'glibc' // as node-gyp-build tells them apart

const crossCompilers = { x64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' }
let stripBin = 'strip'
if (values.built && arch !== process.arch) fail('--built is for the architecture of this machine')
if (values.built) process.env.PREBUILD_FROM = join(project, 'build/Release')
if (arch !== process.arch) {
  const target = crossCompilers[arch]
  if (!target) fail(`--arch ${arch}: there is ${Object.keys(crossCompilers).join(' and ')}`)
  const lacking = ['g++', 'strip'].map((tool) => `${target}-${tool}`).filter((tool) => !findCommand(tool))
  if (lacking.length > 0) fail(`no ${lacking.join(', no ')}: apt-get install g++-${target.replace('_', '-')}`)
  stripBin = `${target}-strip`
}

// A folder of its own: prebuildify moves the addon out of build/Release of the folder that it works in.
const folder = join(project, 'build/prebuild', `${arch}-${libc}`)
mkdirSync(folder, { recursive: true })
const options = {
  name: 'ibverbs',
  arch,
  libc,
  napi: true,
  strip: true,
  stripBin,
  tagLibc: true,
  quiet: false,
  nodeGyp: join(import.meta.dirname, 'node-gyp-shim.mjs'),
  cwd: folder,
  cache: join(folder, 'cache'),
  out: resolve(out),
}
prebuildify(options, (error) => {
  if (error) fail(error.message)
  const shipped = join(resolve(out), 'prebuilds', `linux-${arch}`)
  console.log(join(shipped, `ibverbs.${libc}.node`))
  // prebuildify takes shared libraries along as they are: the software ConnectX gets the C library's name, too.
  const soft = join(shipped, `libibverbs_soft.${libc}.so`)
  renameSync(join(shipped, 'libibverbs_soft.so'), soft)
  const { status, error: stripFailed } = spawnSync(stripBin, ['--strip-all', soft], { stdio: 'inherit' })
  if (stripFailed || status !== 0) fail(`${stripBin}: ${stripFailed?.message ?? `ended with code ${status}`}`)
  console.log(soft)
})

function fail(message) {
  console.error(`prebuild: ${message}`)
  process.exit(1)
}
