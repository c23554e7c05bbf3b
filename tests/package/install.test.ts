/** npm run prebuild, npm pack, and npm install without scripts and compiler: the package then loads. */
import { cp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { describeEntryPoints } from './entry-points.js'
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

  test('links nothing of rdma-core, which it opens at run time', async () => {
    const dynamic = await must(['readelf', '--wide', '--dynamic', addon()], { cwd: project })
    const needed = [...dynamic.matchAll(/\(NEEDED\).*\[(.+?)\]/g)].map(([, name]) => name)
    expect(needed).toContain('libc.so.6')
    expect(
      needed.filter((name) => !/^(libc|libm|libdl|libgcc_s|libstdc\+\+|ld-linux.*)\.so\.\d+$/.test(name)),
    ).toEqual([])
  })

  test('does not contain the path of its build', async () => {
    expect((await readFile(addon())).includes(project)).toBe(false)
  })

  test("leaves the developer's own build alone", async () => {
    expect((await stat(join(project, 'build/Release/ibverbs.node'))).isFile()).toBe(true)
  })
})

describe('the tarball', () => {
  test('has the code, its sources and its documentation, and nothing else', async () => {
    const paths = entries.map(({ path }) => path)
    const folders = new Set(paths.map((path) => path.split('/')[0]))
    expect([...folders].sort()).toEqual([
      'CHANGELOG.md',
      'CMakeLists.txt',
      'LICENSE',
      'README.md',
      'binding',
      'dist',
      'docs',
      'package.json',
      'prebuilds',
    ])
    expect(paths.filter((path) => path.startsWith('prebuilds/'))).toEqual([
      `${prebuilt}/ibverbs.glibc.node`,
      `${prebuilt}/libibverbs_soft.glibc.so`,
    ])
    expect(paths.filter((path) => path.startsWith('dist/') && !/\.(c?js|d\.ts)$/.test(path))).toEqual([])
    expect(paths.filter((path) => path.startsWith('binding/') && !/\.(cc|h)$/.test(path))).toEqual([])
    expect(paths.filter((path) => path.startsWith('binding/tools/'))).toEqual([])
    const examples = (await readdir(join(project, 'docs/examples'))).map((name) => `docs/examples/${name}`)
    expect(paths.filter((path) => path.startsWith('docs/')).sort()).toEqual(
      [...examples, 'docs/npm-start.svg'].sort(),
    )
    expect(
      paths.filter((path) => /(^|\/)(tests?|bench)\/|\.test\.|\.tsbuildinfo$|\.map$/.test(path)),
    ).toEqual([])
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

  test('is below 1.5 MB for one platform, and below 4 MB for all four', async () => {
    const one = (await stat(tarball)).size
    const compressed = await Promise.all(
      entries
        .filter(({ path }) => path.startsWith('prebuilds/'))
        .map(async ({ path }) => gzipSync(await readFile(join(sandbox.path('project'), path))).length),
    )
    const addon = compressed.reduce((sum, size) => sum + size, 0)
    expect(addon).toBeGreaterThan(100_000)
    expect(one).toBeLessThan(1_500_000)
    expect(one + 3 * addon).toBeLessThan(4_000_000)
  })
})

describe('entry points', () => describeEntryPoints(async () => ({ consumer, env: await sandbox.bare() })))

describe('installed without scripts and without a compiler', () => {
  test('installs one package beside itself', async () => {
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

  test('only entry points can be imported', async () => {
    for (const inner of ['ibverbs/dist/native.js', 'ibverbs/native', 'ibverbs/lib/index.ts']) {
      const { stdout } = await node(`await import('${inner}').catch((error) => console.log(error.code))`)
      expect(stdout, inner).toBe('ERR_PACKAGE_PATH_NOT_EXPORTED\n')
    }
  })
})

describe('an addon that does not fit', () => {
  /** A second copy of the installed package, to be damaged. */
  async function damaged(name: string): Promise<{ cwd: string; inside: (path: string) => string }> {
    const cwd = sandbox.path(name)
    await cp(consumer, cwd, { recursive: true })
    return { cwd, inside: (path) => join(cwd, 'node_modules/ibverbs', path) }
  }
  const message = `import { listDevices } from 'ibverbs'
    try { console.log(listDevices()) } catch (error) { console.log(error.message) }`

  test('of another record version is refused, with its file, both versions and the remedy', async () => {
    const { cwd, inside } = await damaged('other records')
    const records = inside('dist/native.js')
    const source = await readFile(records, 'utf8')
    const version = /^const recordVersion = (\d+)/m.exec(source)?.[1]
    await writeFile(records, source.replace(/^const recordVersion = \d+/m, 'const recordVersion = 99'))
    const { stdout } = await node(message, { cwd })
    expect(stdout).toContain(
      `ibverbs: the addon ${inside(`${prebuilt}/ibverbs.glibc.node`)} speaks version ${version} of the records and this ` +
        'library version 99: they are of different releases. Install the package anew, or in a checkout build the ' +
        "addon with 'npm run build:native'\n",
    )
  })

  test('that is missing: calls without it work, and the first call that needs it says how to build it', async () => {
    const { cwd, inside } = await damaged('lost')
    await rm(inside('prebuilds'), { recursive: true })
    const { stdout } = await node(
      `import { ipv4 } from 'ibverbs/ethernet'
       console.log(ipv4.format(ipv4.parse('192.0.2.1')))
       ${message}`,
      { cwd },
    )
    const [first, second] = stdout.split('\n')
    expect(first).toBe('192.0.2.1')
    expect(second).toContain(`in ${inside('').replace(/\/$/, '')}. Build it with: npx `)
  })
})
