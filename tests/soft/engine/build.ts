import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { execFileSync } from '../../beds/child.js'

const project = join(import.meta.dirname, '../../..')
const sources = import.meta.dirname

/**
 * Builds a target of tests/soft/engine/CMakeLists.txt in build/FOLDER; returns the program's path. Several test files
 * build at once, in processes of their own: flock(1) serializes them. Without options the build takes the objects of
 * the library itself (`npm run build:native`), brought up to date, so that the NIC is compiled once.
 */
export function buildEngine(
  target: string,
  { folder = 'engine', options, env = {} }: BuildOptions = {},
): string {
  const directory = join(project, 'build', folder)
  mkdirSync(directory, { recursive: true })
  const library = join(project, 'build')
  const shared = options === undefined && existsSync(join(library, 'CMakeCache.txt'))
  const objects = shared ? join(library, 'CMakeFiles/ibverbs_soft.dir/binding/soft') : ''
  const build = (where: string, what: string) => [
    'cmake',
    '--build',
    where,
    '--parallel',
    '2',
    '--target',
    what,
  ]
  const commands = [
    ...(shared ? [build(library, 'ibverbs_soft')] : []),
    ['cmake', '-S', sources, '-B', directory, `-DENGINE_OBJECTS=${objects}`, ...(options ?? [])],
    build(directory, target),
  ]
  const lock = join(directory, '.lock')
  for (const command of commands) {
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
