/** package.json and the files beside it. */
import { existsSync } from 'node:fs'
import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { manifest, project, run, Sandbox } from './tarball.js'

describe('package.json', async () => {
  const { files, exports, scripts, dependencies, bin, os, cpu, repository } = await manifest()

  test('names files that exist, except built ones', () => {
    const written = files.filter((name) => !name.startsWith('!') && name !== 'dist' && name !== 'prebuilds')
    expect(written).toContain('README.md')
    for (const name of written) expect(existsSync(join(project, name)), name).toBe(true)
  })

  test('every entry point has a source, and its types come first', () => {
    for (const [name, entry] of Object.entries(exports)) {
      if (typeof entry === 'string') continue
      expect(Object.keys(entry), name).toEqual(['types', 'default'])
      expect(entry.types.replace(/\.d\.ts$/, '')).toBe(entry.default.replace(/\.js$/, ''))
      const source = entry.default.replace('./dist/', 'lib/').replace(/\.js$/, '.ts')
      expect(existsSync(join(project, source)), source).toBe(true)
    }
  })

  test('the command starts with a shebang', async () => {
    const source = bin.ibverbs.replace('dist/', 'lib/').replace(/\.js$/, '.ts')
    expect(await readFile(join(project, source), 'utf8')).toMatch(/^#!\/usr\/bin\/env node\n/)
  })

  test('nothing runs when it is installed', () => {
    const hooks = ['preinstall', 'install', 'postinstall', 'prepare', 'preprepare', 'postprepare']
    expect(hooks.filter((name) => name in scripts)).toEqual([])
    // npm runs node-gyp on its own if this file exists.
    expect(existsSync(join(project, 'binding.gyp'))).toBe(false)
  })

  test('installs everywhere: the portable parts work there, and editors need the types', () => {
    expect({ os, cpu }).toEqual({})
  })

  test('has no repository address: the publishing workflow writes its own', async () => {
    expect(repository).toBeUndefined()
    const workflow = await readFile(join(project, '.github/workflows/prebuild.yml'), 'utf8')
    expect(workflow).toContain('npm pkg set repository.type=git repository.url="git+$GITHUB_SERVER_URL/')
  })

  test('one dependency', () => {
    expect(Object.keys(dependencies)).toEqual(['node-gyp-build'])
  })
})

test('the lockfile names no registry, and .npmrc keeps it so', async () => {
  const lockfile = JSON.parse(await readFile(join(project, 'package-lock.json'), 'utf8'))
  const packages = Object.entries<{ resolved?: string; hasInstallScript?: boolean }>(lockfile.packages)
  expect(packages.length).toBeGreaterThan(100)
  expect(packages.filter(([, entry]) => entry.resolved !== undefined)).toEqual([])
  expect(await readFile(join(project, '.npmrc'), 'utf8')).toContain('omit-lockfile-registry-resolved=true\n')
})

test('every folder of the native sources is of the same name in lib/', async () => {
  const folders = async (name: string) =>
    (await readdir(join(project, name), { withFileTypes: true }))
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name)
  const library = await folders('lib')
  for (const name of await folders('binding')) if (name !== 'tools') expect(library).toContain(name)
})

describe('packs nothing', async () => {
  const sandbox = await Sandbox.create()
  const copy = await sandbox.copy()
  afterAll(() => sandbox.remove())
  const pack = () =>
    run(['npm', 'pack', '--dry-run'], { cwd: copy, env: { npm_config_ignore_scripts: 'false' } })
  const libc = process.report.getReport() as { header?: { glibcVersionRuntime?: string } }
  const addon = `prebuilds/linux-${process.arch}/ibverbs.${libc.header?.glibcVersionRuntime ? 'glibc' : 'musl'}.node`

  test('without the addon of this platform', async () => {
    const { code, stderr } = await pack()
    expect(code).not.toBe(0)
    expect(stderr).toContain(`prepack: no ${addon}, no prebuilds/linux-${process.arch}/libibverbs_soft.`)
    expect(stderr).toContain("make it with 'npm run prebuild' first")
  })

  test('with one of other sources', async () => {
    const release = join(project, 'build/Release')
    await mkdir(join(copy, dirname(addon)), { recursive: true })
    await copyFile(join(release, 'ibverbs.node'), join(copy, addon))
    const soft = addon.replace('ibverbs.', 'libibverbs_soft.').replace('.node', '.so')
    await copyFile(join(release, 'libibverbs_soft.so'), join(copy, soft))
    const source = join(copy, 'binding/addon.cc')
    const text = await readFile(source, 'utf8')
    const version = /kRecordVersion = (\d+)/.exec(text)?.[1]
    await writeFile(source, text.replace(/kRecordVersion = \d+/, 'kRecordVersion = 99'))
    const { code, stderr } = await pack()
    expect(code).not.toBe(0)
    expect(stderr).toContain(
      `prepack: ${addon} has version ${version} of the records and the sources 99: make it anew with 'npm run prebuild'`,
    )
  })
})
