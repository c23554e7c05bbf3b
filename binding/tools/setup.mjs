#!/usr/bin/env node
// Makes a fresh machine ready: what `npm start` and `npm test` call first.
//
//   node binding/tools/setup.mjs [build] [rdma] [peers] [vm]
//
// Looks for what each group needs (packages.mjs), names what it will install,
// installs it, then npm's packages and the build, each only where something is
// missing or out of date. Where packages cannot be installed, it says which and
// what works without them, and returns so that the caller goes on with the rest;
// with CI set, it fails instead. Logs are in build/setup/.

import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { install, lastLines, privilege, run, update } from './apt.mjs'
import { findCommand, groups, missing } from './packages.mjs'

const project = resolve(dirname(fileURLToPath(import.meta.url)), '../..')
const folder = join(project, 'build/setup')
const log = (name) => join(folder, `${name}.log`)
const ci = Boolean(process.env.CI) && process.env.CI !== 'false'

/**
 * @param {object} [options]
 * @param {string[]} [options.groups] which of packages.mjs's
 * @param {(line: string) => void} [options.say] told each step that does something
 * @returns {Promise<Record<string, boolean>>} whether each group that was asked for is complete
 */
export async function prepare({ groups: wanted = ['build', 'rdma', 'ethernet'], say = print } = {}) {
  for (const group of wanted) {
    if (!groups[group]) throw new Error(`no group ${group}: there are ${Object.keys(groups).join(', ')}`)
  }
  checkNode()
  const ready = await locked(async () => {
    const complete = await installPackages(wanted, say)
    if (complete.vm) complete.vm = await vmImage(say)
    if (wanted.includes('build')) {
      await npmCi(say)
      complete.build = await build(complete.build, say)
    }
    return complete
  }, say)
  const lacking = wanted.filter((group) => !ready[group])
  if (ci && lacking.length > 0) throw new Error(`not complete: ${lacking.join(', ')} (and CI is set)`)
  return ready
}

const print = (line) => console.log(`setup: ${line}`)

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major > 20 || (major === 20 && minor >= 19)) return
  throw new Error(`Node 20.19 or later is needed; this is ${process.version} (${process.execPath})`)
}

// ------------------------------------------------------------------- packages

async function installPackages(wanted, say) {
  const lacking = missing(wanted)
  if (lacking.length > 0) {
    const sudo = findCommand('apt-get') && (await privilege({ interactive: !ci }))
    if (sudo) {
      const names = [...new Set(lacking.map(({ debian }) => debian))]
      await install(names, { sudo, log: log('apt'), say }).catch((error) => say(error.message))
    }
  }
  const still = missing(wanted)
  if (still.length > 0) explain(still, say)
  return Object.fromEntries(wanted.map((group) => [group, still.every((entry) => entry.group !== group)]))
}

/** What a person has to install by hand, and what works without it. */
function explain(lacking, say) {
  const release = existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : ''
  const fedora = /^ID(_LIKE)?=.*(fedora|rhel)/m.test(release)
  const debian = Boolean(findCommand('apt-get'))
  if (!debian)
    say('this distribution is not one that is set up here by itself; please install what is missing')
  else if (process.getuid() !== 0)
    say('packages are missing, and there is neither root nor sudo without a password')
  for (const [group, { purpose, without }] of Object.entries(groups)) {
    const own = lacking.filter((entry) => entry.group === group)
    if (own.length === 0) continue
    const names = (key) => [...new Set(own.map((entry) => entry[key]))].join(' ')
    say(`missing ${purpose} (${group}):`)
    if (!fedora)
      say(
        `  apt-get install --no-install-recommends ${names('debian')}${debian ? '' : '   (names of Debian)'}`,
      )
    if (fedora || !debian) say(`  dnf install ${names('fedora')}`)
    say(`  without it, ${without}`)
  }
}

/** The VM's kernel and initramfs: downloaded and unpacked in the project's folder. */
async function vmImage(say) {
  const { image } = await import(pathToFileURL(join(project, 'tests/beds/vm/image.mjs')).href)
  try {
    await image({ log: say })
  } catch (error) {
    // An outdated package list names a kernel that is no longer there.
    const sudo = findCommand('apt-get') && (await privilege({ interactive: !ci }))
    try {
      if (!sudo) throw error
      await update({ sudo, log: log('apt'), say })
      await image({ log: say })
    } catch (again) {
      say(`the VM's kernel could not be prepared: ${again.message}`)
      say(`  without it, ${groups.vm.without}`)
      return false
    }
  }
  return true
}

// --------------------------------------------------------------- npm packages

async function npmCi(say) {
  // npm writes its own copy of the lockfile when it has installed everything.
  const installed = modified(join(project, 'node_modules/.package-lock.json'))
  if (installed >= modified(join(project, 'package-lock.json'))) return
  say('npm ci')
  const npm = process.env.npm_execpath ? [process.execPath, process.env.npm_execpath] : ['npm']
  const { code } = await run([...npm, 'ci', '--no-audit', '--no-fund'], { log: log('npm'), cwd: project })
  if (code !== 0) throw new Error(`npm ci failed${lastLines(log('npm'))}`)
}

const modified = (path) => (existsSync(path) ? statSync(path).mtimeMs : 0)

// ------------------------------------------------------------------ the build

const outputs = ['build/Release/ibverbs.node', 'build/Release/libibverbs_soft.so', 'dist/index.js']
const stampFile = join(folder, 'built')

/** Builds when a source is not what it was at the last build; says whether there is a build. */
async function build(possible, say) {
  const there = outputs.every((path) => existsSync(join(project, path)))
  const stamp = sourceStamp()
  if (there && existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return true
  if (!possible) return there // installPackages has said what is missing
  say('npm run build:all')
  rmSync(stampFile, { force: true })
  const npm = process.env.npm_execpath ? [process.execPath, process.env.npm_execpath] : ['npm']
  const { code } = await run([...npm, 'run', 'build:all'], {
    log: log('build'),
    cwd: project,
  })
  if (code !== 0) throw new Error(`npm run build:all failed${lastLines(log('build'), 40)}`)
  mkdirSync(folder, { recursive: true })
  writeFileSync(stampFile, stamp)
  return true
}

/** Names, sizes and times of all that the build reads. */
function sourceStamp() {
  const hash = createHash('sha256')
  const add = (path) => {
    const { size, mtimeMs } = statSync(path)
    hash.update(`${relative(project, path)}\0${size}\0${mtimeMs}\n`)
  }
  for (const name of ['CMakeLists.txt', 'package.json', 'package-lock.json', 'tsconfig.json']) {
    if (existsSync(join(project, name))) add(join(project, name))
  }
  for (const directory of ['binding', 'lib', 'bench']) {
    if (!existsSync(join(project, directory))) continue
    for (const entry of readdirSync(join(project, directory), { recursive: true, withFileTypes: true })) {
      if (entry.isFile() && !entry.parentPath.endsWith('binding/tools'))
        add(join(entry.parentPath, entry.name))
    }
  }
  return hash.digest('hex')
}

// ----------------------------------------------------------- one at a time

/** `npm start` and `npm test` at once: the second waits, then finds everything done. */
async function locked(work, say) {
  const lock = join(folder, 'lock')
  mkdirSync(folder, { recursive: true })
  for (let told = false; ; ) {
    try {
      writeFileSync(lock, String(process.pid), { flag: 'wx' })
      break
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
    }
    const owner = existsSync(lock) ? readFileSync(lock, 'utf8') : ''
    if (owner !== '' && !existsSync(`/proc/${owner}`)) {
      rmSync(lock, { force: true })
      continue
    }
    if (!told) say('waiting for another setup in this folder')
    told = true
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  const release = () => rmSync(lock, { force: true })
  process.once('exit', release)
  try {
    return await work()
  } finally {
    process.off('exit', release)
    release()
  }
}

if (process.argv[1] && import.meta.url === pathToFileURL(resolve(process.argv[1])).href) {
  const wanted = process.argv.slice(2)
  prepare(wanted.length > 0 ? { groups: wanted } : {}).then(
    (ready) => {
      if (Object.values(ready).includes(false)) process.exitCode = 1
    },
    (error) => {
      console.error(`setup: ${error.message}`)
      process.exitCode = 1
    },
  )
}
