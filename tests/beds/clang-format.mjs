#!/usr/bin/env node
// clang-format over the C and C++ of the project, in the style of .clang-format: fails where a file would change, with
// the first line that would; --write changes it. It comes from npm as WebAssembly, so that one version decides on every
// machine: distributions have different ones, and two versions rarely agree about every line.
//
//   node tests/beds/clang-format.mjs [--write] [FILE …]   all of binding/, bench/ and tests/ by default

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { isMainThread, Worker, workerData } from 'node:worker_threads'
import { format } from '@wasm-fmt/clang-format'
import { project } from './vm/vm.mjs'

function sources() {
  return ['binding', 'bench', 'tests'].flatMap((folder) =>
    readdirSync(join(project, folder), { recursive: true })
      .filter((name) => /\.(c|cc|h)$/.test(name))
      .map((name) => join(project, folder, name))
      .filter((path) => !path.startsWith(join(project, 'tests/beds/vm/cache'))),
  )
}

function check({ files, write }) {
  const style = readFileSync(join(project, '.clang-format'), 'utf8')
  for (const file of files) {
    const text = readFileSync(file, 'utf8')
    const formatted = format(text, file, style)
    if (formatted === text) continue
    if (write) {
      writeFileSync(file, formatted)
      continue
    }
    const wanted = formatted.split('\n')
    const line = text.split('\n').findIndex((line, index) => line !== wanted[index])
    console.error(`${file}:${line + 1}: clang-format would write (npm run format):\n${wanted[line]}`)
    process.exitCode = 1
  }
}

if (!isMainThread) check(workerData)
else {
  const words = process.argv.slice(2)
  const named = words.filter((word) => word !== '--write')
  const files = named.length > 0 ? named : sources()
  const count = Math.min(availableParallelism(), 4)
  for (let turn = 0; turn < count; turn++) {
    const share = files.filter((_, index) => index % count === turn)
    const data = { files: share, write: words.includes('--write') }
    new Worker(new URL(import.meta.url), { workerData: data }).on('exit', (code) => {
      process.exitCode ||= code
    })
  }
}
