/** `ibverbs explain`: one request on a ConnectX, and every byte of what program and device say to each other. */
import type { Command } from '../command.js'
import { ExitCode } from '../exit-code.js'
import { Output } from '../output.js'
import type { Session } from '../session.js'
import { noMoreOperands, parse, UsageError, wordOption } from '../usage.js'
import { conversationJson } from './json.js'
import { kinds } from './kinds.js'
import { conversationPage } from './page.js'
import { conversationText } from './text.js'

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
} as const

export const explain: Command = {
  name: 'explain',
  summary: 'one request on a ConnectX, byte by byte',
  synopsis: ['[-t KIND] [-d NAME] [--html FILE | --json]'],
  description: `
Drives the rings of a ConnectX by hand for one request from a queue pair to another, and prints the
conversation: the requests with each segment and field, the doorbell records before and after, what
is written to the register, the frames on the wire, and the completions. The names are those of
mlx5dv.h and of the kernel. By default this happens on a software ConnectX of its own: the rings
are libmlx5's real ones.`,
  options,
  examples: [
    ['ibverbs explain', 'an Ethernet frame'],
    ['ibverbs explain -t write', 'an RDMA write, with its packet and its acknowledgement'],
    ['ibverbs explain -t send --html send.html', 'a page to step through'],
    ['ibverbs explain -t atomic --json', 'for a program'],
  ],
  run,
}

async function run(args: readonly string[], session: Session): Promise<ExitCode> {
  const { values, positionals } = parse(args, options)
  noMoreOperands(positionals, 0)
  const kind = wordOption('--type', values.type, kinds) ?? 'frame'
  if (values.html !== undefined && values.json) throw new UsageError('--html and --json exclude each other')
  if (values.device === '') throw new UsageError('--device is empty')
  const { converse } = await import('./conversation.js')
  await using devices = await chosenDevice(values.device)
  const conversation = await converse(devices.name, kind, session.signal)
  if (values.html !== undefined) {
    const output = await Output.open(values.html, session.signal)
    try {
      await output.write(new TextEncoder().encode(conversationPage(conversation)))
    } finally {
      await output.close()
    }
  } else if (values.json) session.print(conversationJson(conversation))
  else session.print(conversationText(conversation, session.style))
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
