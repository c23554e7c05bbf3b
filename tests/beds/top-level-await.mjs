#!/usr/bin/env node
// Fails if a module of the library awaits at its top level: require() of such a module throws (ERR_REQUIRE_ASYNC_MODULE).
// Biome has no rule for it; esbuild refuses it where it is to make CommonJS.
//
//   node tests/beds/top-level-await.mjs [FILE …]   all of lib/ by default

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'
import { project } from './vm/vm.mjs'

const named = process.argv.slice(2)
const library = () =>
  readdirSync(join(project, 'lib'), { recursive: true })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(project, 'lib', name))

await build({
  entryPoints: named.length > 0 ? named : library(),
  format: 'cjs',
  outdir: join(project, 'build/never'),
  write: false,
  logOverride: { 'empty-import-meta': 'silent' },
  logLevel: 'error',
}).catch(() => {
  process.exitCode = 1
})
