// The VM's boot image: the distribution's kernel and an initramfs, in cache/.
//
//   cache/kernel-VERSION/vmlinux      the uncompressed kernel (boots by PVH, twice as fast as the bzImage)
//   cache/kernel-VERSION/modules/     the .ko files named below, and order (in which to load them)
//   cache/initramfs-HASH.cpio         busybox, those modules, init.sh
//
// Everything is built in a directory of its own and renamed into place, so two
// builders at once cost time but break nothing; a file that exists is complete.
// The kernel package is downloaded and unpacked here, never installed.

import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { gunzipSync } from 'node:zlib'
import { cpio } from './cpio.mjs'

const run = promisify(execFile)
const here = dirname(fileURLToPath(import.meta.url))
export const cache = join(here, 'cache')

// Loaded at boot in this order, each after its dependencies. A name that this kernel has built in, or lacks, is skipped,
// except the required ones.
const required = [
  'virtio_pci',
  'virtio_console',
  '9pnet_virtio',
  '9p',
  'overlay',
  'veth',
  'rdma_rxe',
  'ib_uverbs',
]
const wanted = [
  ...required,
  'crc32_generic', // rxe's ICRC; a soft dependency, and faster than crc32_pclmul when that is emulated
  'rdma_ucm',
  'ib_umad',
  'crc32c_generic', // libcrc32c's, of which nf_tables makes use: a soft dependency, too
  'nf_tables', // keeps the kernel's stack away from what a software ConnectX on an interface took
  'sch_netem',
  '8021q',
  'ip_gre',
  'ip6_gre',
  'vxlan',
  'tun',
]

/** Paths of a kernel and an initramfs that are ready to boot; builds missing ones. */
export async function image({ log = () => {}, signal } = {}) {
  if (process.arch !== 'x64') {
    throw new Error(
      `the VM bed runs on x64 (the guest uses this machine's own Node); this is ${process.arch}`,
    )
  }
  await mkdir(cache, { recursive: true })
  const kernel = (await cachedKernel()) ?? (await buildKernel(log, signal))
  return { kernel: join(kernel, 'vmlinux'), initramfs: await initramfs(kernel, log) }
}

/** Whether image() would have nothing to download. */
export const imageIsCached = async () => (await cachedKernel()) !== undefined

// ---------------------------------------------------------------- the kernel

// Complete: it has its final name and was made from the same list of modules.
const stamp = createHash('sha256').update(wanted.join()).digest('hex').slice(0, 8)

async function cachedKernel() {
  const names = await readdir(cache).catch(() => [])
  const found = names.filter((name) => name.startsWith('kernel-') && name.endsWith(`-${stamp}`)).sort()
  return found.length > 0 ? join(cache, found.at(-1)) : undefined
}

async function buildKernel(log, signal) {
  const work = await mkdtemp(join(cache, `building-${process.pid}-`))
  try {
    const packages = await kernelPackages()
    log(`VM kernel: downloading ${packages.join(' ')} (unpacked in ${cache}, not installed)`)
    await tool('apt-get', ['download', ...packages], { cwd: work, signal })
    for (const file of (await readdir(work)).filter((name) => name.endsWith('.deb'))) {
      await tool('dpkg', ['-x', file, 'root'], { cwd: work, signal })
    }
    const root = join(work, 'root')
    const boot = (await readdir(join(root, 'boot'))).find((name) => name.startsWith('vmlinuz-'))
    const version = boot.slice('vmlinuz-'.length)

    const out = join(work, 'out')
    await mkdir(join(out, 'modules'), { recursive: true })
    log(`VM kernel: extracting ${version}`)
    await writeFile(join(out, 'vmlinux'), await vmlinux(await readFile(join(root, 'boot', boot))))
    const tree = [join(root, 'lib/modules', version), join(root, 'usr/lib/modules', version)].find(existsSync)
    await collectModules(tree, join(out, 'modules'))

    const target = join(cache, `kernel-${version}-${stamp}`)
    await rename(out, target).catch((error) => {
      if (!existsSync(target)) throw error // else: another builder was first
    })
    return target
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

/** linux-image-amd64 (Debian) and linux-image-generic (Ubuntu) are empty: the packages they depend on have the files. */
async function kernelPackages() {
  for (const meta of ['linux-image-amd64', 'linux-image-generic']) {
    const { stdout } = await tool('apt-cache', ['--no-all-versions', 'show', meta]).catch(() => ({
      stdout: '',
    }))
    const names = stdout.match(/^Depends:.*$/m)?.[0].match(/\blinux-(image|modules)[a-z-]*-\d[\w.+~-]*/g)
    if (!names) continue
    if (meta === 'linux-image-generic') {
      const release = names[0].replace(/^linux-image-/, '')
      return [...new Set([...names, `linux-modules-${release}`, `linux-modules-extra-${release}`])]
    }
    return [...new Set(names)]
  }
  throw new Error(
    'apt knows neither linux-image-amd64 nor linux-image-generic: run `apt-get update` (as root), then again',
  )
}

/** The ELF kernel inside a bzImage; the setup header says where it is packed. */
async function vmlinux(bzImage) {
  const setupSectors = bzImage[0x1f1] || 4
  const start = (setupSectors + 1) * 512 + bzImage.readUInt32LE(0x248)
  const length = bzImage.readUInt32LE(0x24c)
  const elf = await decompress(bzImage.subarray(start, start + length - 4)) // the last 4 bytes are the size
  if (elf.toString('latin1', 1, 4) !== 'ELF') throw new Error('no ELF kernel found in the bzImage')
  return elf
}

async function collectModules(tree, target) {
  const paths = new Map() // module name → file
  for (const entry of await readdir(tree, { recursive: true })) {
    const match = /^(.*)\.ko(\.xz|\.zst|\.gz)?$/.exec(basename(entry))
    if (match) paths.set(match[1].replaceAll('-', '_'), join(tree, entry))
  }
  const order = []
  const done = new Set()
  const visit = async (name) => {
    if (done.has(name)) return
    done.add(name)
    if (!paths.has(name)) {
      if (required.includes(name)) {
        const builtin = await readFile(join(tree, 'modules.builtin'), 'utf8')
        if (!builtin.replaceAll('-', '_').includes(`/${name}.ko`))
          throw new Error(`the kernel has no module ${name}`)
      }
      return
    }
    const object = await decompress(await readFile(paths.get(name)))
    for (const dependency of dependencies(object)) await visit(dependency)
    await writeFile(join(target, `${name}.ko`), object)
    order.push(name)
  }
  for (const name of wanted) await visit(name)
  await writeFile(join(target, 'order'), `${order.join('\n')}\n`)
}

/** The output of `modinfo -F depends`: a string of the .modinfo section. */
function dependencies(object) {
  const text = object.toString('latin1')
  const names = /\0depends=([^\0]*)\0/.exec(text)?.[1] ?? ''
  return names
    .split(',')
    .filter(Boolean)
    .map((name) => name.replaceAll('-', '_'))
}

async function decompress(data) {
  const magic = data.toString('hex', 0, 6)
  if (magic.startsWith('7f454c46')) return data
  if (magic.startsWith('1f8b')) return gunzipSync(data)
  if (magic.startsWith('fd377a585a00')) return filter('xz', ['-dc'], data)
  if (magic.startsWith('28b52ffd')) return filter('zstd', ['-dc'], data)
  throw new Error(`compressed in a way that is not known here (${magic})`)
}

// ------------------------------------------------------------- the initramfs

async function initramfs(kernel, log) {
  const busybox = await findBusybox()
  const init = await readFile(join(here, 'init.sh'))
  const self = await readFile(fileURLToPath(import.meta.url))
  const { mtimeMs, size } = await stat(busybox)
  const hash = createHash('sha256')
    .update([busybox, mtimeMs, size, basename(kernel)].join('\0'))
    .update(init)
    .update(self)
    .digest('hex')
    .slice(0, 16)
  const target = join(cache, `initramfs-${hash}.cpio`)
  if (existsSync(target)) return target

  log('VM initramfs: packing')
  const directory = (path) => ({ path })
  const entries = [
    ...['bin', 'dev', 'proc', 'sys', 'host', 'upper', 'root', 'modules'].map(directory),
    { path: 'bin/busybox', data: await readFile(busybox), mode: 0o755 },
    { path: 'bin/sh', link: 'busybox' },
    { path: 'init', data: init, mode: 0o755 },
  ]
  for (const name of await readdir(join(kernel, 'modules'))) {
    entries.push({ path: `modules/${name}`, data: await readFile(join(kernel, 'modules', name)) })
  }
  const partial = join(cache, `building-${process.pid}-${hash}`)
  await writeFile(partial, cpio(entries))
  await rename(partial, target)
  await removeOld([target, kernel])
  return target
}

/**
 * Removes the leftovers of killed builders and of earlier versions of this folder, after an hour's grace: a VM may just be
 * starting from them.
 */
async function removeOld(current) {
  for (const name of await readdir(cache)) {
    const path = join(cache, name)
    if (current.includes(path)) continue
    const builder = /^building-(\d+)-/.exec(name)?.[1]
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Date.now() }))
    const old = /^(initramfs|kernel)-/.test(name) && Date.now() - mtimeMs > 3_600_000
    if (old || (builder && !existsSync(`/proc/${builder}`))) await rm(path, { recursive: true, force: true })
  }
}

async function findBusybox() {
  for (const path of ['/bin/busybox', '/usr/bin/busybox', '/bin/busybox-static']) {
    if (existsSync(path) && isStatic(await readFile(path))) return path
  }
  throw new Error('no statically linked busybox: install the package busybox-static')
}

/** A static executable needs no interpreter: it has no program header of type PT_INTERP (3). */
function isStatic(elf) {
  const offset = Number(elf.readBigUInt64LE(32))
  const size = elf.readUInt16LE(54)
  const count = elf.readUInt16LE(56)
  for (let i = 0; i < count; i++) if (elf.readUInt32LE(offset + i * size) === 3) return false
  return true
}

// ------------------------------------------------------------------- commands

const packageOf = { 'apt-get': 'apt', 'apt-cache': 'apt', dpkg: 'dpkg', xz: 'xz-utils', zstd: 'zstd' }

async function tool(command, args, options) {
  try {
    return await run(command, args, { maxBuffer: 1 << 30, ...options })
  } catch (error) {
    if (error.name === 'AbortError') throw error
    if (error.code === 'ENOENT')
      throw new Error(`${command} not found: install the package ${packageOf[command]}`)
    throw new Error(`${command} ${args.join(' ')} failed:\n${String(error.stderr || error.message).trim()}`)
  }
}

/** The output of a command that reads `input`. */
function filter(command, args, input) {
  return new Promise((resolve, reject) => {
    const child = execFile(command, args, { maxBuffer: 1 << 30, encoding: 'buffer' }, (error, stdout) => {
      if (!error) resolve(stdout)
      else if (error.code === 'ENOENT')
        reject(new Error(`${command} not found: install the package ${packageOf[command]}`))
      else reject(error)
    })
    child.stdin.on('error', () => {}) // the callback above reports why
    child.stdin.end(input)
  })
}
