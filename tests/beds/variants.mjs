// Variants of a test run: plain; with the addon under sanitizers; on other versions of Node.

import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runCommand } from './command.mjs'
import { project } from './vm/vm.mjs'

const all = ['native', 'ethernet', 'soft', 'driven', 'rxe']

/** The other Node versions to test: package node-linux-ARCH of npm. */
const otherNodes = ['22', '24', '26']

/**
 * @param {{ variants: string[], files?: Record<string, string[]> }} words
 * @returns {Promise<{ title: string, node: string, env: Record<string, string>, beds: string[], vmSeconds: number,
 *   exclude?: string[] }[]>}
 */
export async function variants({ variants: names, files }) {
  const plain = {
    title: '',
    node: process.execPath,
    // A long-running file runs when it is named.
    env: Object.values(files ?? {}).some(hasLong) ? { IBVERBS_LONG: '1' } : {},
    beds: ['lint', 'types', 'pages', ...all],
    vmSeconds: 1800,
  }
  if (names.length === 0) return [plain]
  const long = names.includes('long')
  const chosen = long ? [{ ...plain, title: 'long', env: { IBVERBS_LONG: '1' }, vmSeconds: 1800 }] : []
  if (long || names.includes('asan')) chosen.push(await sanitized())
  if (long || names.includes('nodes')) for (const version of otherNodes) chosen.push(await otherNode(version))
  return chosen
}

const hasLong = (files) => files.some((file) => file.endsWith('.long.test.ts'))

/** The addon with AddressSanitizer and UndefinedBehaviorSanitizer, under an ordinary Node. */
async function sanitized() {
  const out = join(project, 'build/asan')
  console.log('setup: building the addon with sanitizers')
  const cmake = join(project, 'node_modules/cmake-js/bin/cmake-js')
  const code = await runCommand([
    process.execPath,
    cmake,
    'compile',
    '--log-level',
    'warn',
    '--out',
    join(out, 'build'),
    '--CDIBVERBS_SANITIZE=ON',
  ])
  if (code !== 0) throw new Error('the sanitized addon could not be built')
  return {
    title: 'asan',
    node: process.execPath,
    // node-gyp-build looks there before it looks into the package.
    env: {
      IBVERBS_PREBUILD: out,
      LD_PRELOAD: 'libasan.so.8',
      ASAN_OPTIONS: 'detect_leaks=0:halt_on_error=1:abort_on_error=1:allocator_may_return_null=1',
      UBSAN_OPTIONS: 'halt_on_error=1:print_stacktrace=1',
    },
    beds: all,
    // Child processes install and load packages, with an environment of their own.
    exclude: ['tests/package/**'],
    vmSeconds: 1800,
  }
}

async function otherNode(version) {
  const folder = join(project, 'build/nodes', version)
  const name = `node-linux-${process.arch}`
  const node = join(folder, 'node_modules', name, 'bin/node')
  if (!existsSync(node)) {
    console.log(`setup: Node ${version} (npm package ${name})`)
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'package.json'), '{"private":true}\n')
    const code = await runCommand(['npm', 'install', '--prefix', folder, '--no-save', `${name}@${version}`])
    if (code !== 0) throw new Error(`Node ${version} could not be installed`)
  }
  return { title: `node${version}`, node, env: { IBVERBS_LITMUS: '1' }, beds: all, vmSeconds: 1800 }
}
