/** `ibverbs generate`: sends numbered frames at a rate, and checks those that come back. */
import type { Command } from '../command.js'
import type { ExitCode } from '../exit-code.js'
import { interfaceHelp, queueFlags, queueOptions, timestampFlags, timestampOption } from '../queue-flags.js'
import type { Session } from '../session.js'
import { rateOption } from '../traffic/rate.js'
import { integerOption, numberOption, operands, parse, UsageError } from '../usage.js'
import { Generator, type GeneratorSettings } from './generator.js'
import { addressOption, destinationOf } from './target.js'

const defaultRate = '1000'

const options = {
  to: { type: 'string', argument: 'DEST', help: 'a MAC address, or an IP address and UDP port: 10.0.0.2:9' },
  rate: {
    type: 'string',
    short: 'r',
    argument: 'RATE',
    help: `frames per second (20k), bits of frames (1Gbit), or max (${defaultRate})`,
  },
  size: { type: 'string', short: 's', argument: 'BYTES', help: 'bytes of a frame (the shortest possible)' },
  count: { type: 'string', short: 'c', argument: 'N', help: 'end after N frames' },
  duration: { type: 'string', short: 't', argument: 'SECONDS', help: 'end after this many seconds' },
  warmup: {
    type: 'string',
    argument: 'N',
    help: "exclude the first N frames' times (0.2 s, at most 1000, at most a tenth)",
  },
  receive: { type: 'boolean', help: 'count the frames that come back, such as from ibverbs reflect' },
  linger: {
    type: 'string',
    argument: 'SECONDS',
    help: 'with --receive: wait until no frame arrives for this long (1)',
  },
  json: { type: 'boolean', help: 'print one JSON object, times in µs' },
  ...queueFlags,
  ...timestampFlags,
} as const

export const generate: Command = {
  name: 'generate',
  summary: 'send numbered frames at a rate, and report how well it was kept',
  synopsis: ['IFACE --to DEST [OPTIONS]'],
  description: `
Sends frames of one size, each at its due time, until Ctrl-C, N frames or SECONDS. To a MAC address
they have EtherType 0x88b5; to an IP address they are UDP, with the MAC address from the kernel's
tables. Each carries a sequence number and its due time: 'ibverbs dump --check' at the other end, or
--receive with 'ibverbs reflect' there, counts lost, duplicated and reordered frames, and measures
the time from due to arrival, so that a delayed sender hides no latency (between two hosts as
accurate as their clocks). Ends with the rate reached and the sender's own lateness: from due time
until the kernel accepted the frame.
Sleeps between frames if there is time. Needs CAP_NET_RAW: see 'ibverbs doctor'.
${interfaceHelp}`,
  options,
  examples: [
    ['ibverbs generate v0 --to 02:00:00:00:00:02 -r 50k -t 10', 'ten seconds of 50 000 frames/s'],
    ['ibverbs generate v0 --to 10.0.0.2:9 -r max -s 1514 -c 1M', 'a million, as fast as it goes'],
    ['ibverbs generate v0 --to 10.0.0.2:7 --receive', "with 'ibverbs reflect' at the other end"],
  ],
  run,
}

async function run(args: readonly string[], session: Session): Promise<ExitCode> {
  const { values, positionals } = parse(args, options)
  const [name] = operands(positionals, 'IFACE')
  const address = addressOption(values.to)
  const settings: GeneratorSettings = {
    rate: rateOption('--rate', values.rate ?? defaultRate),
    size: integerOption('--size', values.size, 60, 65535),
    count: countOption(values.count),
    duration: (numberOption('--duration', values.duration, 0.001, 1e9) ?? Number.POSITIVE_INFINITY) * 1000,
    warmup: integerOption('--warmup', values.warmup, 0, Number.MAX_SAFE_INTEGER),
    receive: values.receive ?? false,
    linger: (numberOption('--linger', values.linger, 0, 3600) ?? 1) * 1000,
    json: values.json ?? false,
  }
  if (values.linger !== undefined && !settings.receive) throw new UsageError('--linger needs --receive')
  const opening = queueOptions(values, name)
  if (values.timestamps !== undefined && !settings.receive)
    throw new UsageError('--timestamps needs --receive')
  const timestamps = timestampOption(values.timestamps, opening.backend)

  const { PacketQueue } = await import('../../ethernet/index.js')
  const destination = await destinationOf(address, name, session.signal)
  try {
    const listening = settings.receive ? { flows: destination.flows, timestamps } : { transmitOnly: true }
    const queue = PacketQueue.open(name, { ...opening, ...listening })
    try {
      return await new Generator(queue, destination, settings, session).run()
    } finally {
      queue.close()
    }
  } finally {
    destination.close()
  }
}

/** A count, which may end in k or M. */
function countOption(text: string | undefined): number {
  if (text === undefined) return Number.POSITIVE_INFINITY
  const [, digits, scale] = /^(\d+)([kmg]?)$/i.exec(text) ?? []
  const value = Number(digits) * { '': 1, k: 1e3, m: 1e6, g: 1e9 }[(scale ?? '').toLowerCase() as 'k']
  if (!(value >= 1 && value < 2 ** 48)) {
    throw new UsageError(`--count must be an integer from 1, such as 5000 or 10M, not '${text}'`)
  }
  return value
}
