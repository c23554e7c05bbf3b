#!/usr/bin/env node
// What prebuildify runs in place of node-gyp: builds with cmake-js, in the folder that it was started in.
// Where PREBUILD_FROM names a build, that is taken as it is. prebuildify takes the addon away from build/Release there, so that folder is not the project (prebuild.mjs).

import { spawnSync } from 'node:child_process'
import { cpSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'

const project = resolve(import.meta.dirname, '../..')
const cmakeJs = createRequire(import.meta.url).resolve('cmake-js/bin/cmake-js')
const arch = process.env.PREBUILD_ARCH ?? process.arch
const out = join(process.cwd(), 'build')

// Debian's names (crossbuild-essential); an addon leaves Node's own symbols open, so no sysroot with Node is needed.
const processors = { x64: 'x86_64', arm64: 'aarch64' }
const cross =
  arch === process.arch
    ? []
    : [
        '--CDCMAKE_SYSTEM_NAME=Linux',
        `--CDCMAKE_SYSTEM_PROCESSOR=${processors[arch]}`,
        `--CDCMAKE_CXX_COMPILER=${processors[arch]}-linux-gnu-g++`,
      ]
const from = process.env.PREBUILD_FROM
if (from) cpSync(from, join(out, 'Release'), { recursive: true })
else build()

function build() {
  const { status, error } = spawnSync(
    process.execPath,
    [
      cmakeJs,
      'compile',
      '--log-level',
      'warn',
      '--directory',
      project,
      '--out',
      out,
      '--arch',
      arch,
      ...cross,
    ],
    { stdio: 'inherit' },
  )
  if (error) throw error
  process.exitCode = status ?? 1
}
