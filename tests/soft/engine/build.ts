import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { execFileSync } from '../../beds/child.js'

const project = join(import.meta.dirname, '../../..')
const sources = import.meta.dirname

/**
 * Builds a target of tests/soft/engine/CMakeLists.txt in build/FOLDER; returns the program's path. Several test files do so
 * at once, in processes of their own: flock(1) lets one after the other.
 */
export function buildEngine(
  target: string,
  { folder = 'engine', options = [], env = {} }: BuildOptions = {},
): string {
  const directory = join(project, 'build', folder)
  mkdirSync(directory, { recursive: true })
  const configure = ['cmake', '-S', sources, '-B', directory, ...options]
  const build = ['cmake', '--build', directory, '--parallel', '2', '--target', target]
  for (const command of [configure, build]) {
    const lock = join(directory, '.lock')
    execFileSync('flock', [lock, ...command], { env: { ...process.env, ...env }, timeout: 280_000 })
  }
  return join(directory, target)
}

interface BuildOptions {
  /** Below build/. */
  folder?: string
  /** Of the configuration: `-DNAME=VALUE`. */
  options?: string[]
  env?: NodeJS.ProcessEnv
}
