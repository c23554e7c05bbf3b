/** The program `ibverbs`. Each command is a module of its own, loaded when it runs: help needs no addon. */
import { readFileSync } from 'node:fs'
import { debuglog } from 'node:util'
import type { Command } from './command.js'
import { ExitCode } from './exit-code.js'
import type { Session } from './session.js'
import { asksForHelp, commandHelp, programHelp, UsageError } from './usage.js'

const debug = debuglog('ibverbs')

const loaders: Readonly<Record<string, () => Promise<Command>>> = {
  devices: async () => (await import('./devices/devices.js')).devices,
  ping: async () => (await import('./ping/ping.js')).ping,
  send: async () => (await import('./send/send.js')).send,
  dump: async () => (await import('./dump/dump.js')).dump,
  generate: async () => (await import('./generate/generate.js')).generate,
  forward: async () => (await import('./forward.js')).forward,
  reflect: async () => (await import('./reflect.js')).reflect,
  explain: async () => (await import('./explain/explain.js')).explain,
  selftest: async () => (await import('./selftest/selftest.js')).selftest,
  soft: async () => (await import('./soft/soft.js')).soft,
  doctor: async () => (await import('./doctor/doctor.js')).doctor,
}

/** Runs a command line in a session and returns its exit code; may be called repeatedly. */
export async function main(args: readonly string[], session: Session): Promise<number> {
  try {
    return await dispatch(args, session)
  } catch (error) {
    session.complain(error instanceof Error ? (error.stack ?? error.message) : String(error))
    return ExitCode.failed
  }
}

async function dispatch(args: readonly string[], session: Session): Promise<number> {
  const [first, ...rest] = args
  if (first === undefined) {
    session.note((await help()).trimEnd())
    return ExitCode.usage
  }
  if (first === '--version' || first === '-V') {
    session.print(version())
    return ExitCode.ok
  }
  if (first === '--help' || first === '-h') {
    session.print((await help()).trimEnd())
    return ExitCode.ok
  }
  const wantsHelp = first === 'help'
  const name = wantsHelp ? rest[0] : first
  if (name === undefined) {
    session.print((await help()).trimEnd())
    return ExitCode.ok
  }
  if (!Object.hasOwn(loaders, name)) {
    const what = name.startsWith('-') ? 'option' : 'command'
    session.complain(`unknown ${what} '${name}'; the commands are ${Object.keys(loaders).join(', ')}`)
    return ExitCode.usage
  }
  const command = await loaders[name]()
  if (wantsHelp || asksForHelp(rest)) {
    session.print(commandHelp(command).trimEnd())
    return ExitCode.ok
  }
  session.command = command.name
  return run(command, rest, session)
}

async function run(command: Command, args: readonly string[], session: Session): Promise<number> {
  try {
    return await command.run(args, session)
  } catch (error) {
    debug('%O', error)
    // libpcap's errors about a filter are errors in the command line too.
    if (error instanceof UsageError || (error as NodeJS.ErrnoException)?.code === 'ERR_IBVERBS_FILTER') {
      session.complain((error as Error).message)
      session.note(`Try 'ibverbs ${command.name} --help'.`)
      return ExitCode.usage
    }
    // An AbortError after the session's own signal is no news.
    if (session.interrupted && (error as Error)?.name === 'AbortError') return ExitCode.failed
    session.complain(error instanceof Error ? error.message : String(error))
    return ExitCode.failed
  }
}

async function help(): Promise<string> {
  return programHelp(await Promise.all(Object.values(loaders).map((load) => load())))
}

function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
