/**
 * The declarations compile for users of the package with any module resolution, with the oldest TypeScript that the
 * README names and with the newest.
 */
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { manifest, project, run, Sandbox } from './tarball.js'

let sandbox: Sandbox
let tarball: string
let consumer: string

const tool = (path: string) => [process.execPath, join(project, 'node_modules', path)]

beforeAll(async () => {
  sandbox = await Sandbox.create()
  tarball = await sandbox.pack({ prebuild: false })
  consumer = await sandbox.install(tarball)
  await mkdir(join(consumer, 'node_modules/@types'))
  await symlink(join(project, 'node_modules/@types/node'), join(consumer, 'node_modules/@types/node'))
}, 600_000)

afterAll(() => sandbox?.remove())

/** A program with marked errors: it compiles only if the compiler reports each of them, so nothing has become `any`. */
const program = `
import { Arena, type AsyncEvent, Context, type Endpoint, listDevices, open, type QueuePair, VerbsError } from 'ibverbs'
import { formatMac, PacketQueue } from 'ibverbs/ethernet'

export async function ping(context: Context, remote: Endpoint): Promise<number> {
  const domain = context.allocateProtectionDomain()
  const memory = domain.registerMemory(Arena.allocate(4096))
  const cq = context.createCompletionQueue(16)
  const pair: QueuePair = domain.createQueuePair({ type: 'RC', cq })
  pair.connect(remote)
  const send = pair.prepareSend({ memory })
  const refused: number = send.post(7, 0, 64)
  // @ts-expect-error a cookie is a number
  send.post('7', 0, 64)
  // @ts-expect-error no such type of queue pair
  domain.createQueuePair({ type: 'RX', cq })
  const bytes: Uint8Array = memory.bytes
  return refused + pair.submit() + bytes.length + (await cq.wait())
}

export function frames(name: string): string {
  const queue: PacketQueue = PacketQueue.open(name)
  try {
    const count: number = queue.receive()
    return formatMac(queue.memory.subarray(0, 6)) + count
  } catch (error) {
    if (error instanceof VerbsError) return error.syscall
    throw error
  } finally {
    queue.close()
  }
}

export function subject(event: AsyncEvent): QueuePair | number | undefined {
  switch (event.type) {
    case 'SQ_DRAINED':
      return event.queuePair
    case 'PORT_ERR':
      return event.port
    case 'CQ_ERR':
      return event.completionQueue?.entries
    case 'DEVICE_FATAL':
      // @ts-expect-error it concerns no port
      return event.port
    default:
      return undefined
  }
}

export function internal(context: Context, pair: QueuePair): void {
  // @ts-expect-error the library's own
  context.countWaiter(1)
  // @ts-expect-error the library's own
  context.describe()
  // @ts-expect-error made by open() alone
  new Context(1, 'rxe0')
  // @ts-expect-error there is no such option
  pair.domain.registerMemory(64, { acess: ['LOCAL_WRITE'] })
  // @ts-expect-error a list, and of names that there are
  pair.domain.registerMemory(64, { access: ['MW_BIND'] })
}

// @ts-expect-error a name is a string
open(5)
// @ts-expect-error not exported
import('ibverbs/dist/native.js')
export const names: string[] = listDevices().map((device) => device.name)
`

type Compiler = 'typescript' | 'typescript-oldest'

/** A program for each entry point of package.json: its types are found, and are not `any`. */
async function imports(): Promise<Record<string, string>> {
  const { exports } = await manifest()
  const modules = Object.keys(exports).filter((key) => typeof exports[key] !== 'string')
  return Object.fromEntries(
    modules.map((key, i) => [
      `entry-${i}.mts`,
      `import * as entry from '${key.replace('.', 'ibverbs')}'
export const names: readonly (keyof typeof entry)[] = []
// @ts-expect-error not exported
entry.noSuchName\n`,
    ]),
  )
}

async function compile(
  compiler: Compiler,
  name: string,
  files: Record<string, string>,
  compilerOptions: object,
) {
  const folder = join(consumer, `${name}-${compiler}`)
  await mkdir(folder)
  for (const [file, text] of Object.entries(files)) await writeFile(join(folder, file), text)
  const options = { strict: true, skipLibCheck: false, noEmit: true, types: ['node'], ...compilerOptions }
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: options, include: ['*'] }))
  return run([...tool(`${compiler}/bin/tsc`), '-p', folder], { cwd: folder })
}

const clean = { code: 0, stdout: '', stderr: '' }

describe('declarations, with skipLibCheck off', () => {
  test.each<[Compiler, string, object]>([
    // The old compiler takes ten times as long: one case is enough.
    ['typescript-oldest', 'nodenext', { module: 'nodenext', moduleResolution: 'nodenext', target: 'es2022' }],
    ['typescript', 'nodenext', { module: 'nodenext', moduleResolution: 'nodenext', target: 'es2022' }],
    ['typescript', 'node16', { module: 'node16', moduleResolution: 'node16', target: 'es2022' }],
    ['typescript', 'bundler', { module: 'esnext', moduleResolution: 'bundler', target: 'es2022' }],
  ])('%s, %s', async (compiler, name, options) => {
    expect(await compile(compiler, name, { 'program.mts': program, ...(await imports()) }, options)).toEqual(
      clean,
    )
  })

  test('using, where the type library has it', async () => {
    const text = `import { open } from 'ibverbs'
export function count() { using context = open(); return context.portCount }
export async function later() { await using context = open(); return context.name }\n`
    const options = { module: 'nodenext', target: 'esnext', lib: ['esnext'] }
    expect(await compile('typescript', 'using', { 'program.mts': text }, options)).toEqual(clean)
  })

  test('require() from CommonJS, which is an error before TypeScript 5.8', async () => {
    const text = `import ibverbs = require('ibverbs')
export const devices: readonly ibverbs.DeviceInfo[] = ibverbs.listDevices()
// @ts-expect-error a name is a string
ibverbs.open(5)\n`
    for (const module of ['nodenext', 'node20']) {
      const options = { module, target: 'es2022' }
      expect(await compile('typescript', `commonjs-${module}`, { 'program.cts': text }, options)).toEqual(
        clean,
      )
    }
  })
})

test('publint finds no fault', async () => {
  const installed = join(consumer, 'node_modules/ibverbs')
  const { code, stdout, stderr } = await run(
    [...tool('publint/src/cli.js'), '--strict', '--pack', 'false', installed],
    {
      cwd: consumer,
    },
  )
  expect({ code, stderr }, stdout).toEqual({ code: 0, stderr: '' })
  expect(stdout).toContain('All good!')
})

test('arethetypeswrong finds every entry point right, for ES modules and bundlers', async () => {
  // Ignores esm-only: Node 20.19 and later require() an ES module; the tool still reports it as a problem.
  const { code, stdout } = await run(
    [...tool('@arethetypeswrong/cli/dist/index.js'), tarball, '--profile', 'esm-only', '--format', 'json'],
    { cwd: consumer },
  )
  expect(code, stdout).toBe(0)
  const { analysis } = JSON.parse(stdout)
  const { exports } = JSON.parse(await readFile(join(project, 'package.json'), 'utf8'))
  const resolved = Object.entries<{ resolutions: Record<string, { resolution?: { fileName: string } }> }>(
    analysis.entrypoints,
  )
  expect(resolved.map(([name]) => name).sort()).toEqual(Object.keys(exports).sort())
  for (const [name, { resolutions }] of resolved) {
    const target = typeof exports[name] === 'string' ? exports[name] : exports[name].types
    for (const kind of ['node16-esm', 'bundler']) {
      expect(resolutions[kind].resolution?.fileName, `${name} ${kind}`).toBe(
        `/node_modules/ibverbs/${target.replace('./', '')}`,
      )
    }
  }
})
