/** The package as users get it: packed from a copy of the project, installed into an empty one. */

import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { spawn } from '../beds/child.js'

export const project = fileURLToPath(new URL('../..', import.meta.url))

export interface Finished {
  code: number | null
  stdout: string
  stderr: string
}

export interface Entry {
  path: string
  mode: string
  size: number
}

/** This process's environment variables that identify user and place, without those of npm, vitest or a sanitizer. */
const inherited = Object.fromEntries(
  Object.entries(process.env).filter(([name]) =>
    /^(PATH|HOME|USER|TMPDIR|LANG|LC_|HTTPS?_PROXY|NO_PROXY|SSL_|NODE_EXTRA_CA)/i.test(name),
  ),
)

/** Runs a program to its end, without the environment of the tests. */
export function run(
  [program, ...args]: readonly string[],
  { cwd, env = {} }: { cwd: string; env?: Record<string, string> },
): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd, env: { ...inherited, ...env } })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (part: string) => {
      stdout += part
    })
    child.stderr.setEncoding('utf8').on('data', (part: string) => {
      stderr += part
    })
    child.stdin.end()
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, stdout, stderr }))
  })
}

/** Like {@link run}, for steps that must succeed: the error carries the output. */
export async function must(command: readonly string[], options: Parameters<typeof run>[1]): Promise<string> {
  const { code, stdout, stderr } = await run(command, options)
  if (code !== 0) throw new Error(`${command.join(' ')} ended with ${code}:\n${stdout}${stderr}`)
  return stdout
}

/** A temporary folder with a space in its name, which every step must handle. */
export class Sandbox {
  readonly folder: string

  private constructor(folder: string) {
    this.folder = folder
  }

  static async create(): Promise<Sandbox> {
    return new Sandbox(await mkdtemp(join(tmpdir(), 'ibverbs package ')))
  }

  path(...parts: string[]): string {
    return join(this.folder, ...parts)
  }

  remove(): Promise<void> {
    return rm(this.folder, { recursive: true, force: true })
  }

  /** A copy of the project without build results. */
  async copy(): Promise<string> {
    const copy = this.path('project')
    const built = ['node_modules', 'build', 'dist', 'prebuilds', '.git', 'tests/beds/vm/cache']
    const left = new Set(built.map((path) => join(project, path)))
    await cp(project, copy, { recursive: true, filter: (source) => !left.has(source.replace(/\/$/, '')) })
    await symlink(join(project, 'node_modules'), join(copy, 'node_modules'))
    return copy
  }

  /**
   * `npm pack` of a {@link copy}; returns the tarball's path.
   *
   * @param prebuild pack the addon of this platform, or the sources alone. The existing build is stripped and tagged;
   *   prebuild.long.test.ts makes a build of its own
   */
  async pack({ prebuild }: { prebuild: boolean }): Promise<string> {
    const copy = await this.copy()
    if (prebuild) {
      await must(['npm', 'run', 'prebuild', '--', '--built', '--out', copy], { cwd: project })
      return this.#pack(copy, { npm_config_ignore_scripts: 'false' })
    }
    await must(['npm', 'run', 'build:lib'], { cwd: copy })
    return this.#pack(copy, { npm_config_ignore_scripts: 'true' })
  }

  async #pack(folder: string, env: Record<string, string> = {}): Promise<string> {
    const destination = this.path('tarballs')
    await mkdir(destination, { recursive: true })
    const before = await readdir(destination)
    await must(['npm', 'pack', '--pack-destination', destination], { cwd: folder, env })
    const [name] = (await readdir(destination)).filter((entry) => !before.includes(entry))
    return join(destination, name)
  }

  /** Installs a tarball into an empty project: no scripts, no network, no compiler. */
  async install(tarball: string, name = 'consumer'): Promise<string> {
    const consumer = this.path(name)
    await mkdir(consumer)
    await writeFile(join(consumer, 'package.json'), '{ "private": true }\n')
    const dependency = await this.#pack(join(project, 'node_modules/node-gyp-build'))
    const flags = ['--ignore-scripts', '--offline', '--no-audit', '--no-fund']
    await must(['npm', 'install', ...flags, tarball, dependency], { cwd: consumer, env: await this.bare() })
    return consumer
  }

  /** An environment whose PATH has only node, npm, npx and a shell. */
  async bare(): Promise<Record<string, string>> {
    const folder = this.path('bin')
    if ((await mkdir(folder, { recursive: true })) !== undefined) {
      await symlink(process.execPath, join(folder, 'node'))
      for (const name of ['npm', 'npx', 'sh']) await symlink(await findInPath(name), join(folder, name))
    }
    return { PATH: folder }
  }
}

async function findInPath(name: string): Promise<string> {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    if ((await readdir(folder).catch((): string[] => [])).includes(name)) return join(folder, name)
  }
  throw new Error(`no ${name} in PATH`)
}

/** The entries that tar lists, without npm's folder `package/` around them. */
export async function contents(tarball: string): Promise<Entry[]> {
  const listing = await must(['tar', '--list', '--verbose', '--gzip', '--file', tarball], { cwd: tmpdir() })
  return listing
    .trimEnd()
    .split('\n')
    .map((line) => {
      const [mode, , size, , , ...path] = line.split(/ +/)
      return { path: path.join(' ').replace(/^package\//, ''), mode, size: Number(size) }
    })
}

export interface Manifest {
  name: string
  version: string
  files: string[]
  bin: Record<string, string>
  exports: Record<string, string | { types: string; default: string }>
  scripts: Record<string, string>
  dependencies: Record<string, string>
  engines: { node: string }
  os?: string[]
  cpu?: string[]
  license: string
  repository?: unknown
}

export async function manifest(folder = project): Promise<Manifest> {
  return JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'))
}
