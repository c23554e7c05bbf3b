/**
 * `ibverbs explain`: one request on a ConnectX, and every byte of what program and device say to each other; or what the rings
 * of a running program hold.
 */
import type { Command } from '../command.js'
import { ExitCode } from '../exit-code.js'
import { Output } from '../output.js'
import type { Session } from '../session.js'
import { integerOption, noMoreOperands, parse, UsageError, wordOption } from '../usage.js'
import { toJson } from './json.js'
import { kinds } from './kinds.js'
import { conversationPage } from './page.js'
import { conversationText } from './text.js'

/** Of each ring. */
const usualEntries = 8

const options = {
  type: {
    type: 'string',
    short: 't',
    argument: 'KIND',
    help: 'frame, or an RC send, write, read or atomic (frame)',
  },
  device: {
    type: 'string',
    short: 'd',
    argument: 'NAME',
    help: 'a ConnectX whose port is connected to itself; by default a software ConnectX',
  },
  html: {
    type: 'string',
    argument: 'FILE',
    help: 'write a page that steps through it, which needs nothing but itself',
  },
  json: { type: 'boolean', help: 'print one JSON object; bytes as hexadecimal digits' },
  attach: {
    type: 'boolean',
    help: 'the rings of a running program; without PID: the programs that can be asked',
  },
  entries: {
    type: 'string',
    short: 'n',
    argument: 'COUNT',
    help: 'with --attach: how many of the last entries of each ring, 1 … 64 (8)',
  },
} as const

export const explain: Command = {
  name: 'explain',
  summary: 'one request on a ConnectX, byte by byte',
  synopsis: [
    '[-t KIND] [-d NAME] [--html FILE | --json]',
    '--attach [PID] [-n COUNT] [--html FILE | --json]',
  ],
  description: `
Drives the rings of a ConnectX by hand for one request from a queue pair to another, and prints the
conversation: the requests with each segment and field, the doorbell records before and after, what
is written to the register, the frames on the wire, and the completions. The names are those of
mlx5dv.h and of the kernel. By default this happens on a software ConnectX of its own: the rings
are libmlx5's real ones.
With --attach it shows the rings of a program of your own that runs with IBVERBS_CONTROL=1 or has
called control(): doorbell records, and the last requests and completions. It reads and changes
nothing; the device goes on writing while they are read.`,
  options,
  examples: [
    ['ibverbs explain', 'an Ethernet frame'],
    ['ibverbs explain -t write', 'an RDMA write, with its packet and its acknowledgement'],
    ['ibverbs explain -t send --html send.html', 'a page to step through'],
    ['ibverbs explain -t atomic --json', 'for a program'],
    ['ibverbs explain --attach', 'the programs that can be asked'],
    ['ibverbs explain --attach 4711 -n 2', 'the rings of process 4711'],
  ],
  run,
}

async function run(args: readonly string[], session: Session): Promise<ExitCode> {
  const { values, positionals } = parse(args, options)
  const { html, json = false, attach = false } = values
  if (html !== undefined && json) throw new UsageError('--html and --json exclude each other')
  if (attach) {
    for (const name of ['type', 'device'] as const) {
      if (values[name] !== undefined) throw new UsageError(`--attach and --${name} exclude each other`)
    }
    noMoreOperands(positionals, 1)
    const entries = integerOption('--entries', values.entries, 1, 64)
    if (positionals.length === 0) return listPrograms({ html, json, entries }, session)
    const pid = integerOption('PID', positionals[0], 1, 2 ** 22) as number
    const { ringsOf } = await import('./attach/program.js')
    const threads = await ringsOf(pid, entries ?? usualEntries)
    return show(session, html, json, {
      page: async () => (await import('./attach/page.js')).ringsPage(threads),
      json: () => toJson(threads),
      text: async () => (await import('./attach/text.js')).ringsText(threads, session.style),
    })
  }
  if (values.entries !== undefined) throw new UsageError('--entries needs --attach')
  noMoreOperands(positionals, 0)
  const kind = wordOption('--type', values.type, kinds) ?? 'frame'
  if (values.device === '') throw new UsageError('--device is empty')
  const { converse } = await import('./conversation.js')
  await using devices = await chosenDevice(values.device)
  const conversation = await converse(devices.name, kind, session.signal)
  return show(session, html, json, {
    page: () => conversationPage(conversation),
    json: () => toJson(conversation),
    text: () => conversationText(conversation, session.style),
  })
}

/** Writes one of three forms. */
async function show(
  session: Session,
  html: string | undefined,
  json: boolean,
  forms: Record<'page' | 'json' | 'text', () => string | Promise<string>>,
): Promise<ExitCode> {
  if (html !== undefined) {
    const page = await forms.page()
    const output = await Output.open(html, session.signal)
    try {
      await output.write(new TextEncoder().encode(page))
    } finally {
      await output.close()
    }
  } else session.print(json ? await forms.json() : await forms.text())
  return ExitCode.ok
}

async function listPrograms(
  { html, json, entries }: { html: string | undefined; json: boolean; entries: number | undefined },
  session: Session,
): Promise<ExitCode> {
  if (html !== undefined || entries !== undefined) {
    throw new UsageError(`PID is missing: --attach without it only lists programs`)
  }
  const programs = await (await import('../../control/programs.js')).listPrograms()
  if (json) session.print(JSON.stringify(programs))
  else session.print((await import('./attach/programs-text.js')).programsText(programs))
  return ExitCode.ok
}

/** The named device; else a software ConnectX, which goes when it is disposed of. */
async function chosenDevice(name: string | undefined): Promise<AsyncDisposable & { name: string }> {
  if (name !== undefined) return { name, [Symbol.asyncDispose]: async () => {} }
  // IBVERBS_SOFT makes the process's software ConnectX, and there can be no second one.
  if (process.env.IBVERBS_SOFT) {
    const { listDevices } = await import('../../index.js')
    return chosenDevice(listDevices()[0].name)
  }
  const { softConnectX } = await import('../../soft/index.js')
  const soft = softConnectX({ wire: 'loop' })
  return { name: soft.devices()[0].name, [Symbol.asyncDispose]: async () => soft.close() }
}
