/** `npm run prebuild` with a build of its own; install.test.ts packs the existing build. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { must, project, run, Sandbox } from './tarball.js'

test('builds, strips and tags the addon and the software ConnectX, and they load', {
  timeout: 600_000,
}, async () => {
  const sandbox = await Sandbox.create()
  try {
    const out = sandbox.path('out')
    await must(['npm', 'run', 'prebuild', '--', '--out', out], { cwd: project })
    const folder = join(out, `prebuilds/linux-${process.arch}`)
    const names = await readdir(folder)
    expect(names.map((name) => name.replace(/\.(glibc|musl)\./, '.LIBC.'))).toEqual([
      'ibverbs.LIBC.node',
      'libibverbs_soft.LIBC.so',
    ])
    for (const name of names) {
      const sections = await must(['readelf', '--wide', '--section-headers', join(folder, name)], {
        cwd: project,
      })
      expect(sections, name).not.toMatch(/\.symtab|\.debug_info/)
    }
    const script = `import { Arena } from 'ibverbs'
      import { softLibraryPath } from 'ibverbs/soft'
      console.log(Arena.allocate(4096).byteLength, softLibraryPath())`
    const loaded = await run([process.execPath, '--input-type=module', '--eval', script], {
      cwd: project,
      env: { IBVERBS_PREBUILD: out },
    })
    expect(loaded).toEqual({ code: 0, stdout: `4096 ${join(folder, names[1])}\n`, stderr: '' })
  } finally {
    await sandbox.remove()
  }
})
