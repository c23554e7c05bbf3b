#!/usr/bin/env bash
# TypeScript's language service shows no comment of `export * as name`.
#
# The comment stands in the declarations, but neither a hover nor the details of a completion have it: a namespace that is
# to be documented where an editor shows it must be a constant (`import * as n from '…'; /** … */ export const name = n`).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --no-audit --no-fund --silent typescript@5.9.3 >/dev/null
echo 'export const one = 1' >inner.ts
cat >index.ts <<'TS'
import * as inner from './inner'
/** What the namespace is for. */
export * as starred from './inner'
/** What the constant is for. */
export const constant = inner
TS
echo "import { starred, constant } from './index'; console.log(starred, constant)" >use.ts
cat >ask.cjs <<'JS'
const ts = require('typescript')
const { readFileSync } = require('node:fs')
console.log(`TypeScript ${ts.version}`)
const host = {
  getCompilationSettings: () => ({ module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler }),
  getScriptFileNames: () => ['use.ts'],
  getScriptVersion: () => '1',
  getScriptSnapshot: (name) => (ts.sys.fileExists(name) ? ts.ScriptSnapshot.fromString(ts.sys.readFile(name)) : undefined),
  getCurrentDirectory: () => process.cwd(),
  getDefaultLibFileName: (options) => ts.getDefaultLibFilePath(options),
  fileExists: ts.sys.fileExists,
  readFile: ts.sys.readFile,
}
const service = ts.createLanguageService(host)
const text = readFileSync('use.ts', 'utf8')
for (const name of ['starred', 'constant']) {
  const info = service.getQuickInfoAtPosition('use.ts', text.lastIndexOf(name) + 1)
  console.log(`${name}: "${ts.displayPartsToString(info.documentation)}"`)
}
JS
seen=$(node ask.cjs)
echo "$seen"
expected='TypeScript 5.9.3
starred: ""
constant: "What the constant is for."'
[ "$seen" = "$expected" ] || { echo "changed: expected $expected"; exit 1; }
