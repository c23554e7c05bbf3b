/** npm run prebuild, npm pack, npm install with scripts off and no compiler, and then it loads. */
import { cp, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { contents, type Entry, manifest, must, project, run, Sandbox } from './tarball.js'

const prebuilt = `prebuilds/linux-${process.arch}`
let sandbox: Sandbox
let tarball: string
let entries: Entry[]
let consumer: string

beforeAll(async () => {
  sandbox = await Sandbox.create()
  tarball = await sandbox.pack({ prebuild: true })
  entries = await contents(tarball)
  consumer = await sandbox.install(tarball)
}, 600_000)

afterAll(() => sandbox?.remove())

const node = async (code: string, { type = 'module', cwd = consumer } = {}) =>
  run([process.execPath, `--input-type=${type}`, '--eval', code], { cwd, env: await sandbox.bare() })

describe('the prebuild', () => {
  const addon = () => join(sandbox.path('project'), prebuilt, 'ibverbs.glibc.node')

  test('is the addon and the software ConnectX, stripped, for this C library', async () => {
    expect(await readdir(join(sandbox.path('project'), prebuilt))).toEqual([
      'ibverbs.glibc.node',
      'libibverbs_soft.glibc.so',
    ])
    for (const file of [addon(), join(sandbox.path('project'), prebuilt, 'libibverbs_soft.glibc.so')]) {
      const sections = await must(['readelf', '--wide', '--section-headers', file], { cwd: project })
      expect(sections).toContain('.dynsym')
      expect(sections).not.toContain('.symtab')
      expect(sections).not.toContain('.debug_info')
    }
  })

  test('links nothing of rdma-core: that is opened at run time', async () => {
    const dynamic = await must(['readelf', '--wide', '--dynamic', addon()], { cwd: project })
    const needed = [...dynamic.matchAll(/\(NEEDED\).*\[(.+?)\]/g)].map(([, name]) => name)
    expect(needed).toContain('libc.so.6')
    expect(
      needed.filter((name) => !/^(libc|libm|libdl|libgcc_s|libstdc\+\+|ld-linux.*)\.so\.\d+$/.test(name)),
    ).toEqual([])
  })

  test('does not tell where it was built', async () => {
    expect((await readFile(addon())).includes(project)).toBe(false)
  })

  test("leaves the developer's own build alone", async () => {
    expect((await stat(join(project, 'build/Release/ibverbs.node'))).isFile()).toBe(true)
  })
})

describe('the tarball', () => {
  test('has what is used, what builds it, and nothing else', () => {
    const paths = entries.map(({ path }) => path)
    const folders = new Set(paths.map((path) => path.split('/')[0]))
    expect([...folders].sort()).toEqual([
      'CMakeLists.txt',
      'LICENSE',
      'README.md',
      'binding',
      'dist',
      'package.json',
      'prebuilds',
    ])
    expect(paths.filter((path) => path.startsWith('prebuilds/'))).toEqual([
      `${prebuilt}/ibverbs.glibc.node`,
      `${prebuilt}/libibverbs_soft.glibc.so`,
    ])
    expect(paths.filter((path) => path.startsWith('dist/') && !/\.(js|d\.ts)$/.test(path))).toEqual([])
    expect(paths.filter((path) => path.startsWith('binding/') && !/\.(cc|h)$/.test(path))).toEqual([])
    expect(paths.filter((path) => path.startsWith('binding/tools/'))).toEqual([])
    expect(paths.filter((path) => /test|bench|\.tsbuildinfo$|\.map$/.test(path))).toEqual([])
  })

  test('has every source of the addon and every compiled module', async () => {
    const under = async (folder: string, pattern: RegExp) =>
      (await readdir(join(sandbox.path('project'), folder), { recursive: true }))
        .filter((name) => pattern.test(name))
        .map((name) => `${folder}/${name}`)
    const expected = [
      ...(await under('binding', /\.(cc|h)$/)),
      ...(await under('lib', /\.ts$/)).map((path) => path.replace(/^lib/, 'dist').replace(/\.ts$/, '.js')),
    ]
    const paths = new Set(entries.map(({ path }) => path))
    expect(expected.length).toBeGreaterThan(50)
    expect(expected.filter((path) => !paths.has(path))).toEqual([])
  })

  test('has every file that package.json names as an entry point, and an executable command', async () => {
    const { exports, bin } = await manifest()
    const targets = Object.values(exports).flatMap((entry) =>
      typeof entry === 'string' ? [entry] : Object.values(entry),
    )
    const paths = entries.map(({ path }) => path)
    for (const target of targets) expect(paths).toContain(target.replace('./', ''))
    expect(entries.find(({ path }) => path === bin.ibverbs)?.mode).toBe('-rwxr-xr-x')
  })

  test('is below a megabyte for one platform', async () => {
    expect((await stat(tarball)).size).toBeLessThan(1_000_000)
  })
})

describe('installed without scripts and without a compiler', () => {
  test('brings one package beside itself', async () => {
    expect(
      (await readdir(join(consumer, 'node_modules'))).filter((name) => !name.startsWith('.')).sort(),
    ).toEqual(['ibverbs', 'node-gyp-build'])
    const tools = await run(['sh', '-c', 'command -v g++ cc make cmake'], {
      cwd: consumer,
      env: await sandbox.bare(),
    })
    expect(tools.stdout).toBe('')
  })

  test('import: every entry point, with the prebuilt addon at work', async () => {
    const { stdout, stderr, code } = await node(`
      import { Arena, VerbsError } from 'ibverbs'
      import { queryInterface, VerbsError as Same } from 'ibverbs/ethernet'
      import { createRequire } from 'node:module'
      const manifest = createRequire(process.cwd() + '/')('ibverbs/package.json')
      let error
      try { queryInterface('no-such-if0') } catch (thrown) { error = thrown }
      const addon = process.report.getReport().sharedObjects.filter((path) => path.endsWith('.node'))
      console.log(JSON.stringify({ arena: Arena.allocate(8192).byteLength, same: VerbsError === Same, code: error?.code,
        name: manifest.name, addon }))`)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(JSON.parse(stdout)).toEqual({
      arena: 8192,
      same: true,
      code: 'ENODEV',
      name: 'ibverbs',
      addon: [join(consumer, 'node_modules/ibverbs', prebuilt, 'ibverbs.glibc.node')],
    })
  })

  test('the software ConnectX is the one of the package', async () => {
    const { stdout, stderr, code } = await node(`
      import { listDevices } from 'ibverbs'
      import { softConnectX, softLibraryPath } from 'ibverbs/soft'
      const found = (() => {
        try {
          const soft = softConnectX()
          const names = listDevices().map(({ name }) => name)
          soft.close()
          return names.includes('mlx5_soft0')
        } catch (error) {
          return error.code
        }
      })()
      console.log(JSON.stringify({ found, path: softLibraryPath() }))`)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const { found, path } = JSON.parse(stdout)
    expect(path).toBe(join(consumer, 'node_modules/ibverbs', prebuilt, 'libibverbs_soft.glibc.so'))
    expect([true, 'ENOSYS']).toContain(found) // ENOSYS where libibverbs is not installed
  })

  test('require(): the same module, without a warning', async () => {
    const { stdout, stderr, code } = await node(
      `const { open, VerbsError } = require('ibverbs')
       const { PacketQueue } = require('ibverbs/ethernet')
       import('ibverbs').then((module) => console.log(typeof open, typeof PacketQueue.open, module.VerbsError === VerbsError))`,
      { type: 'commonjs' },
    )
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: 'function function true\n', stderr: '' })
  })

  test('npx ibverbs --help and --version', async () => {
    const env = await sandbox.bare()
    const help = await run(['npx', 'ibverbs', '--help'], { cwd: consumer, env })
    expect(help).toMatchObject({ code: 0 })
    expect(help.stdout).toMatch(/^Usage: ibverbs COMMAND/)
    const { version } = await manifest()
    const printed = await run(['npx', 'ibverbs', '--version'], { cwd: consumer, env })
    expect(printed).toMatchObject({ code: 0, stdout: `${version}\n` })
  })

  test('npx ibverbs devices runs as far as the machine lets it', async () => {
    const { code, stdout, stderr } = await run(['npx', 'ibverbs', 'devices', '--json'], {
      cwd: consumer,
      env: await sandbox.bare(),
    })
    if (code === 0) expect(JSON.parse(stdout).length).toBeGreaterThan(0)
    else {
      expect(code).toBe(1)
      expect(stderr).toMatch(/ENODEV: ibv_open_device|ENOSYS: dlopen: libibverbs/)
    }
  })

  test('what is not an entry point cannot be imported', async () => {
    for (const inner of ['ibverbs/dist/native.js', 'ibverbs/native', 'ibverbs/lib/index.ts']) {
      const { stdout } = await node(`await import('${inner}').catch((error) => console.log(error.code))`)
      expect(stdout, inner).toBe('ERR_PACKAGE_PATH_NOT_EXPORTED\n')
    }
  })
})

describe('an addon that does not fit', () => {
  /** A second copy of what was installed, to be damaged. */
  async function damaged(name: string): Promise<{ cwd: string; inside: (path: string) => string }> {
    const cwd = sandbox.path(name)
    await cp(consumer, cwd, { recursive: true })
    return { cwd, inside: (path) => join(cwd, 'node_modules/ibverbs', path) }
  }
  const message = `await import('ibverbs').then(() => console.log('loaded'), (error) => console.log(error.message))`

  test('of another record version is refused, with both versions and the command', async () => {
    const { cwd, inside } = await damaged('other records')
    const records = inside('dist/native.js')
    const source = await readFile(records, 'utf8')
    const version = /^const recordVersion = (\d+)/m.exec(source)?.[1]
    await writeFile(records, source.replace(/^const recordVersion = \d+/m, 'const recordVersion = 99'))
    const { stdout } = await node(message, { cwd })
    expect(stdout).toContain(
      `ibverbs: the addon speaks version ${version} of the records and this library version 99. Build it with: npx `,
    )
    expect(stdout).toContain(`--directory '${inside('')}'`.replace("/'", "'"))
  })

  test('that the linker refuses: its own words, the file and the command', async () => {
    const { cwd, inside } = await damaged('broken')
    const addon = inside(`${prebuilt}/ibverbs.glibc.node`)
    await writeFile(addon, 'no ELF, but long enough that the linker reads it as one: '.repeat(10))
    const { stdout } = await node(message, { cwd })
    expect(stdout).toContain(`ibverbs: ${addon}: invalid ELF header. Build it with: npx `)
  })
})
