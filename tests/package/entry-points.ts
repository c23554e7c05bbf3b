/** A table of all entry points of package.json: a new one is a new row, and fails until it has an expression here. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { build } from 'esbuild'
import { describe, expect, test } from 'vitest'
import { type Finished, manifest, project, run } from './tarball.js'

/** For each entry point, an expression and its value; `entry` is the module. */
const witnesses: Readonly<Record<string, [expression: string, value: unknown]>> = {
  '.': ['entry.Arena.allocate(8192).byteLength', 8192],
  './ethernet': ["entry.queryInterface('lo').name", 'lo'],
  './mlx5': ["entry.decodeDoorbell(new Uint8Array(8), 'workQueue').segments.length", 1],
  './soft': ["entry.softLibraryPath().split('/').at(-1)", expect.stringMatching(/^libibverbs_soft\..*so$/)],
}

/** These have an addon's value without it: a decoder, and the path of a file. */
const independent = ['./mlx5', './soft']

/** Before Node 22.13 the permission model was experimental. */
const permission =
  Number(process.versions.node.split('.')[0]) < 22 ? '--experimental-permission' : '--permission'

const { exports, name, version } = await manifest()
/** The modules and their exports. */
const modules = Object.fromEntries(
  await Promise.all(
    Object.entries(exports).flatMap(([key, entry]) =>
      typeof entry === 'string'
        ? []
        : [import(join(project, entry.default)).then((module) => [key, Object.keys(module).sort()] as const)],
    ),
  ),
) as Record<string, string[]>
const data = Object.keys(exports).filter((key) => !(key in modules))
const specifier = (key: string) => key.replace(/^\./, 'ibverbs')

interface Row {
  names: string[]
  value?: unknown
  error?: string
}

/** A program that prints a row for each entry point; `load` is the expression that gets the module `key`. */
const program = (load: (key: string) => string) => `
const rows = {}
// The names that esbuild adds when CommonJS imports.
const interop = ['__esModule', 'default']
async function main() {
${Object.keys(modules)
  .map(
    (key) => `  {
    const entry = ${load(key)}
    const row = rows[${JSON.stringify(key)}] = { names: Object.keys(entry).filter((name) => !interop.includes(name)).sort() }
    try { row.value = ${witnesses[key]?.[0]} } catch (error) { row.error = error.code }
  }`,
  )
  .join('\n')}
}
`
const print = 'main().then(() => console.log(JSON.stringify(rows)))'
const imported = program((key) => `await import('${specifier(key)}')`)
const required = program((key) => `require('${specifier(key)}')`)
const bundled = `${Object.keys(modules)
  .map((key, i) => `import * as entry${i} from '${specifier(key)}'`)
  .join('\n')}\n${program((key) => `entry${Object.keys(modules).indexOf(key)}`)}\n${print}`

interface Place {
  /** A folder where the package is installed. */
  consumer: string
  env: Record<string, string>
}

type Way = (place: Place) => Promise<Finished>

const node = ({ consumer, env }: Place, ...args: string[]) =>
  run([process.execPath, ...args], { cwd: consumer, env })

const bundle =
  (format: 'esm' | 'cjs'): Way =>
  async (place) => {
    const { outputFiles } = await build({
      stdin: { contents: bundled, resolveDir: place.consumer },
      bundle: true,
      platform: 'node',
      format,
      external: ['ibverbs'],
      write: false,
    })
    const file = join(place.consumer, `bundle.${format === 'esm' ? 'mjs' : 'cjs'}`)
    await writeFile(file, outputFiles[0].text)
    return node(place, file)
  }

const ways: Readonly<Record<string, Way>> = {
  import: (place) => node(place, '--input-type=module', '--eval', imported + print),
  'require()': (place) => node(place, '--input-type=commonjs', '--eval', required + print),
  'import in a worker': async (place) => {
    const post = "main().then(() => require('node:worker_threads').parentPort.postMessage(rows))"
    const start = `new (require('node:worker_threads').Worker)(${JSON.stringify(imported + post)}, { eval: true })
      .once('message', (rows) => console.log(JSON.stringify(rows)))`
    return node(place, '--input-type=commonjs', '--eval', start)
  },
  'with --permission --allow-addons': (place) =>
    node(
      place,
      ...['--no-warnings', permission, '--allow-fs-read=*', '--allow-addons'],
      ...['--input-type=module', '--eval', imported + print],
    ),
  'beside an ES module bundle that leaves it external': bundle('esm'),
  'beside a CommonJS bundle that leaves it external': bundle('cjs'),
  'without the addon': async (place) => {
    const empty = join(place.consumer, 'empty')
    await mkdir(empty, { recursive: true })
    const env = { ...place.env, IBVERBS_PREBUILD: empty }
    // node-gyp-build falls back to the package itself, which --no-addons forbids, too.
    return node({ ...place, env }, '--no-addons', '--input-type=module', '--eval', imported + print)
  },
}

/** The tests, on an installed package. */
export function describeEntryPoints(place: () => Promise<Place>): void {
  describe.each(Object.entries(ways))('%s', (title, way) => {
    let finished: Promise<Finished> | undefined
    const rows = async (): Promise<Record<string, Row>> => {
      finished ??= place().then(way)
      const { code, stdout, stderr } = await finished
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      return JSON.parse(stdout)
    }

    test.each(Object.keys(modules))('%s', async (key) => {
      expect(witnesses, `say what ${key} does`).toHaveProperty([key])
      const { names, value, error } = (await rows())[key]
      expect(names).toEqual(modules[key])
      if (title !== 'without the addon') expect({ value, error }).toEqual({ value: witnesses[key][1] })
      else if (!independent.includes(key)) expect({ value, error }).toEqual({ error: 'ERR_IBVERBS_ADDON' })
    })
  })

  test.each(data)('%s is data, for import and require()', async (key) => {
    const script = (load: string) => `const data = ${load}\nconsole.log(data.name, data.version)`
    const text = `${name} ${version}\n`
    const there = await place()
    const words = (type: string, load: string) => [
      `--input-type=${type}`,
      '--no-warnings',
      '--eval',
      script(load),
    ]
    for (const [type, load] of [
      ['module', `(await import('${specifier(key)}', { with: { type: 'json' } })).default`],
      ['commonjs', `require('${specifier(key)}')`],
    ]) {
      expect(await node(there, ...words(type, load))).toEqual({ code: 0, stdout: text, stderr: '' })
    }
  })
}
