/** Where the addon cannot be loaded: the features that still work, and the error of the first call that needs it. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { main, Running } from '../cli/run.js'

const project = fileURLToPath(new URL('../..', import.meta.url))
const major = Number(process.versions.node.split('.')[0])
/** Before Node 22.13 the permission model was an experiment. */
const permission = major < 22 ? '--experimental-permission' : '--permission'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'ibverbs-without-'))
  mkdirSync(join(folder, 'empty'))
})

afterAll(() => rmSync(folder, { recursive: true }))

/** Imports everything, uses the features that need no addon, and collects the errors of the calls that need it. */
const survey = `
import * as ibverbs from 'ibverbs'
import * as ethernet from 'ibverbs/ethernet'
import * as soft from 'ibverbs/soft'
const { CaptureParser, PacketQueue, Pacer, PcapEncoder, ethernet: header, ipv4, formatMac, parseMac } = ethernet
async function main() {
  const bytes = new Uint8Array(64)
  const next = header.write(bytes, 0, parseMac('02:00:00:00:00:02'), parseMac('02:00:00:00:00:01'), 0x0800)
  const parser = new CaptureParser()
  const encoder = new PcapEncoder()
  encoder.add(5, 6000, bytes)
  parser.push(Buffer.concat([encoder.header(), encoder.take()]))
  const found = parser.next()
  const free = {
    header: [next, header.etherType(bytes, 0), ipv4.format(ipv4.parse('192.0.2.1')), formatMac(parseMac('02:00:00:00:00:01'))],
    capture: found && [parser.frame.seconds, parser.frame.nanoseconds, parser.frame.length],
    pacer: Pacer.hold(performance.now() + 0.01),
    error: new ibverbs.VerbsError(19, 'open').code,
  }
  const calls = {
    'open()': () => ibverbs.open(),
    "open('mlx5_0')": () => ibverbs.open('mlx5_0'),
    'listDevices()': () => ibverbs.listDevices(),
    'libibverbsPath()': () => ibverbs.libibverbsPath(),
    'Arena.allocate()': () => ibverbs.Arena.allocate(4096),
    'new QueuePair()': () => new ibverbs.QueuePair(0, {}),
    'softConnectX()': () => soft.softConnectX(),
    'softLibraryPath()': () => soft.softLibraryPath(),
    'listInterfaces()': () => ethernet.listInterfaces(),
    'queryInterface()': () => ethernet.queryInterface('lo'),
    'queryChannels()': () => ethernet.queryChannels('lo'),
    'setChannels()': () => ethernet.setChannels('lo', { combined: 1 }),
    'steer()': () => ethernet.steer('lo', {}, 0),
    'resolve()': () => ethernet.resolve('192.0.2.1'),
    'new FramePool()': () => new ethernet.FramePool({ frameCount: 64 }),
    'PacketQueue.open()': () => PacketQueue.open('lo'),
  }
  const errors = {}
  for (const [name, call] of Object.entries(calls)) {
    // Twice: the second load must not find half of the first.
    for (const round of [1, 2]) {
      try {
        await call()
        errors[name] = 'nothing was thrown'
      } catch ({ code, message }) {
        errors[name] = code + ' ' + message
      }
    }
  }
  console.log(JSON.stringify({ free, errors, calls: Object.keys(calls) }))
}
main()
`

interface Told {
  free: unknown
  errors: Record<string, string>
  calls: string[]
}

const worksAllTheSame = {
  header: [14, 0x0800, '192.0.2.1', '02:00:00:00:00:01'],
  capture: [5, 6000, 64],
  pacer: true,
  error: 'ENODEV',
}

async function told(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  node = process.execPath,
): Promise<Told> {
  const { code, stdout, stderr } = await new Running(node, args, { env }).finished
  expect({ code, stderr: stderr.replace(/^\(node.*\n\(Use.*\n/, '') }).toEqual({ code: 0, stderr: '' })
  return JSON.parse(stdout)
}

/** @param works the calls that need the path of the addon's file, but not its exports */
function expectEach({ errors, calls, free }: Told, message: RegExp | string, works: string[] = []): void {
  expect(free).toEqual(worksAllTheSame)
  expect(calls.length).toBeGreaterThan(15)
  const expected = message instanceof RegExp ? expect.stringMatching(message) : `ERR_IBVERBS_ADDON ${message}`
  const fits = (name: string) => (works.includes(name) ? 'nothing was thrown' : expected)
  expect(errors).toEqual(Object.fromEntries(calls.map((name) => [name, fits(name)])))
}

/** The program runs in the project's own folder, so that it finds the package by its name. */
const inProject = () => ['--input-type=module', '--eval', survey]

test('importing every entry point loads no addon', async () => {
  const script = `for (const name of ['', '/ethernet', '/soft']) await import('ibverbs' + name)
    console.log(process.report.getReport().sharedObjects.filter((path) => path.endsWith('.node')).length)`
  const { stdout } = await new Running(process.execPath, ['--input-type=module', '-e', script]).finished
  expect(stdout).toBe('0\n')
})

test('without a prebuild: the machine, the folder and the command that builds it', async () => {
  const env = { IBVERBS_PREBUILD: join(folder, 'empty') }
  expectEach(
    await told(inProject(), env),
    /^ERR_IBVERBS_ADDON ibverbs: no addon for linux-\w+ \((glibc|musl)\) in \/.*\. Build it with: npx .* --directory '.*'/,
  )
})

describe('elsewhere than on Linux', () => {
  const env = () => ({ IBVERBS_PREBUILD: join(folder, 'empty') })
  const on = (platform: string) => [
    '--import',
    `data:text/javascript,Object.defineProperty(process, 'platform', { value: '${platform}' })`,
  ]
  const reason = (platform: string) =>
    `ibverbs: Linux only: devices, interfaces and queues are those of its kernel, and this is ${platform}`
  const remedy =
    'Run this in a Linux container or virtual machine; headers, flows, captures and Pacer work here, too'
  const command = (...args: string[]) =>
    new Running(process.execPath, [...on('darwin'), main, ...args], { env: env() }).finished

  test.each(['darwin', 'win32'])('every call that needs Linux says so: %s', async (platform) => {
    expectEach(await told([...on(platform), ...inProject()], env()), `${reason(platform)}. ${remedy}`)
  })

  test('the command tells its version and its help', async () => {
    const [version, all, one] = await Promise.all([
      command('--version'),
      command('--help'),
      command('dump', '--help'),
    ])
    expect(version).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\d+\./), stderr: '' })
    expect(all).toMatchObject({ code: 0, stderr: '' })
    expect(one).toMatchObject({ code: 0, stderr: '' })
  })

  test('doctor says what it is, and nothing of a kernel that is not there', async () => {
    const { code, stdout, stderr } = await command('doctor', '--json')
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' })
    expect(JSON.parse(stdout)).toEqual({
      ok: false,
      works: { ethernet: false, verbs: false },
      checks: [
        { group: 'process', name: 'Node.js', status: 'ok', detail: expect.stringContaining(' for darwin ') },
        { group: 'libraries', name: 'addon', status: 'missing', detail: reason('darwin'), remedy },
      ],
    })
  })

  test('a command that needs Linux ends with the reason', async () => {
    const { code, stderr } = await command('devices')
    expect({ code, stderr }).toEqual({ code: 1, stderr: `ibverbs devices: ${reason('darwin')}. ${remedy}\n` })
  })
})

describe("under Node's permission model", () => {
  test('without --allow-addons: the flag', async () => {
    expectEach(
      await told([permission, '--allow-fs-read=*', ...inProject()]),
      'ibverbs: this process may not load addons. Add --allow-addons beside --permission',
      ['softLibraryPath()'],
    )
  })

  test('without --allow-fs-read of where the addon is: the flag', async () => {
    const allowed = ['dist/*', 'package.json', 'node_modules/*'].map(
      (name) => `--allow-fs-read=${join(project, name)}`,
    )
    const script = `import { listDevices } from 'ibverbs'
      try { listDevices() } catch ({ code, message }) { console.log(code, message) }`
    const words =
      "ERR_IBVERBS_ADDON ibverbs: Node's permission model does not let this process look for the addon. " +
      'Add --allow-fs-read for the folders of ibverbs and node-gyp-build (node_modules/*)\n'
    for (const readable of [allowed, allowed.slice(0, 2)]) {
      const args = [permission, '--allow-addons', ...readable, '--input-type=module', '--eval', script]
      expect((await new Running(process.execPath, args).finished).stdout).toBe(words)
    }
  })

  test('with it everything works', async () => {
    const script = `import { Arena } from 'ibverbs'; console.log(Arena.allocate(4096).byteLength)`
    const args = [permission, '--allow-fs-read=*', '--allow-addons', '--input-type=module', '--eval', script]
    expect((await new Running(process.execPath, args).finished).stdout).toBe('4096\n')
  })
})

test('with --no-addons: to leave it out', async () => {
  expectEach(
    await told(['--no-addons', ...inProject()]),
    'ibverbs: this process may not load addons. Leave out --no-addons',
    ['softLibraryPath()'],
  )
})

test.each([
  ['bun', "Bun 1.4.5 lacks what an addon waits with (libuv's uv_poll) and ends the process where it is used"],
  ['deno', 'Deno 1.4.5 crashes when a process that has loaded this addon ends'],
])('on %s: what is wrong there, instead of the crash', async (runtime, why) => {
  const versions = `{ ...process.versions, ${runtime}: '1.4.5' }`
  const pretend = `data:text/javascript,Object.defineProperty(process, 'versions', { value: ${versions} })`
  expectEach(
    await told(['--import', pretend, ...inProject()]),
    `ibverbs: ${why}. Run this with Node.js; headers, flows, captures and Pacer work here, too`,
  )
})

describe('an addon that does not fit', () => {
  const release = (name: string) => {
    const prebuild = join(folder, name)
    mkdirSync(join(prebuild, 'build/Release'), { recursive: true })
    return { prebuild, file: join(prebuild, 'build/Release/ibverbs.node') }
  }

  test('that the linker refuses: its own words, the file and the command', async () => {
    const { prebuild, file } = release('broken')
    writeFileSync(file, 'no ELF, but long enough that the linker reads it as one: '.repeat(10))
    const { errors } = await told(inProject(), { IBVERBS_PREBUILD: prebuild })
    expect(errors['open()']).toMatch(
      `ERR_IBVERBS_ADDON ibverbs: ${file}: invalid ELF header. Build it with: npx `,
    )
  })
})

describe('in a bundle', () => {
  const message =
    'ibverbs: the addon is not beside this code, which a bundler has moved. Leave ibverbs external ' +
    "(esbuild: --external:ibverbs; Rollup, Vite: external: ['ibverbs']; webpack: externals) and install it where the bundle runs"

  test.each(['esm', 'cjs'] as const)('%s: to leave it external', async (format) => {
    const outfile = join(folder, `bundle.${format === 'esm' ? 'mjs' : 'cjs'}`)
    await build({
      stdin: { contents: survey, resolveDir: project },
      bundle: true,
      platform: 'node',
      format,
      outfile,
      logLevel: 'silent',
    })
    expectEach(await told([outfile]), message)
  })

  test('that leaves it external works', async () => {
    const contents = `import { Arena } from 'ibverbs'; console.log(Arena.allocate(4096).byteLength)`
    const { outputFiles } = await build({
      stdin: { contents, resolveDir: project },
      bundle: true,
      platform: 'node',
      format: 'esm',
      external: ['ibverbs'],
      write: false,
    })
    const { stdout } = await new Running(process.execPath, [
      '--input-type=module',
      '--eval',
      outputFiles[0].text,
    ]).finished
    expect(stdout).toBe('4096\n')
  })
})
