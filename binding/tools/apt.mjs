// apt-get, told in one line a step; what it prints itself goes to a log.

import { spawn } from 'node:child_process'
import { appendFileSync, closeSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { findCommand } from './packages.mjs'

/** Whether packages can be installed here, and with what in front of the command. */
export async function privilege({ interactive }) {
  if (process.getuid() === 0) return []
  if (!findCommand('sudo')) return undefined
  if ((await run(['sudo', '-n', 'true'])).code === 0) return ['sudo', '-n']
  return interactive && process.stdin.isTTY ? ['sudo'] : undefined
}

/** Installs packages and nothing that they only recommend; names everything first. */
export async function install(names, { sudo, log, say }) {
  let plan = await simulate(names)
  if (!plan) {
    await update({ sudo, log, say })
    plan = await simulate(names)
  }
  const more = plan?.filter((name) => !names.includes(name)) ?? []
  say(`installing ${names.join(' ')}${more.length > 0 ? `, and what they need: ${more.join(' ')}` : ''}`)
  const command = aptGet(sudo, 'install', '-y', '--no-install-recommends', '--no-upgrade', ...names)
  if ((await run(command, { log })).code === 0) return
  await update({ sudo, log, say }) // the list may name versions that the server no longer has
  await must(command, log)
}

export async function update({ sudo, log, say }) {
  say('apt-get update')
  await must(aptGet(sudo, 'update'), log)
}

/** The packages that would be installed or upgraded; undefined when apt does not know them all. */
async function simulate(names) {
  const { code, output } = await run([
    'apt-get',
    'install',
    '-s',
    '--no-install-recommends',
    '--no-upgrade',
    ...names,
  ])
  if (code !== 0) return undefined
  return [...output.matchAll(/^Inst (\S+)( \[)?/gm)].map(([, name, old]) =>
    old ? `${name} (upgraded)` : name,
  )
}

// Two setups at once: the second waits for the first's lock on dpkg.
const aptGet = (sudo, ...args) => [
  ...sudo,
  'env',
  'DEBIAN_FRONTEND=noninteractive',
  'apt-get',
  '-o',
  'DPkg::Lock::Timeout=300',
  ...args,
]

async function must(command, log) {
  const { code } = await run(command, { log })
  if (code !== 0) throw new Error(`${command.join(' ')} failed${lastLines(log)}`)
}

/** For an error message: the end of what the last command in the log printed. */
export const lastLines = (log, count = 15) => {
  const text = readFileSync(log, 'utf8')
  const lines = text
    .slice(text.lastIndexOf('\n$ ') + 1)
    .trimEnd()
    .split('\n')
    .slice(-count)
  return `; the last lines of ${log}:\n${lines.map((line) => `  | ${line}`).join('\n')}`
}

/** Runs a command; its output goes to the log, or is returned. */
export function run([command, ...args], { log, cwd, env } = {}) {
  let descriptor
  if (log) {
    mkdirSync(dirname(log), { recursive: true })
    appendFileSync(log, `\n$ ${[command, ...args].join(' ')}\n`)
    descriptor = openSync(log, 'a')
  }
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd,
      env: env ?? { ...process.env, LC_ALL: 'C.UTF-8' },
      stdio: ['inherit', descriptor ?? 'pipe', descriptor ?? 'pipe'],
    })
    let output = ''
    const add = (chunk) => {
      output += chunk
    }
    child.stdout?.on('data', add)
    child.stderr?.on('data', add)
    child.on('error', reject)
    child.on('close', (code) => resolve({ code: code ?? 1, output }))
  }).finally(() => {
    if (descriptor !== undefined) closeSync(descriptor)
  })
}
