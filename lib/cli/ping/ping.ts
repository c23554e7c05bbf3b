/** `ibverbs ping`: latency of RC, UC or UD between two processes or hosts; rdma-core's programs may be the peer. */
import type { Context } from '../../index.js'
import { isSoftware } from '../../soft/device-name.js'
import type { Command } from '../command.js'
import { ExitCode } from '../exit-code.js'
import { jsonText } from '../json.js'
import { oversubscriptionWarning } from '../oversubscription.js'
import type { Session } from '../session.js'
import {
  integerOption,
  noMoreOperands,
  numberOption,
  operands,
  parse,
  UsageError,
  wordOption,
} from '../usage.js'
import type { PingEnd, PingSettings } from './end.js'
import { type Destination, ExchangeServer, exchangeAsClient, type Met } from './exchange.js'
import { type PingRun, pingJson, printPing } from './report.js'

// The defaults of ibv_rc_pingpong, ibv_uc_pingpong and ibv_ud_pingpong: either end may be one of them.
const defaultPort = 18515
/**
 * Milliseconds between two turns of the event loop. A turn takes as long as several messages: each 10 ms, one message in a
 * hundred would wait for it.
 */
const yieldInterval = 200
const defaultSizes = { rc: 4096, uc: 4096, ud: 1024 } as const

const options = {
  listen: { type: 'boolean', short: 'l', help: 'be the server: wait for one client' },
  port: {
    type: 'string',
    short: 'p',
    argument: 'PORT',
    help: `TCP port where both sides meet (${defaultPort})`,
  },
  type: { type: 'string', short: 't', argument: 'rc|uc|ud', help: 'transport (rc)' },
  device: { type: 'string', short: 'd', argument: 'NAME', help: 'RDMA device (the first)' },
  'ib-port': { type: 'string', short: 'i', argument: 'PORT', help: 'port of the device (1)' },
  'gid-index': { type: 'string', short: 'g', argument: 'INDEX', help: 'GID to use (the best that routes)' },
  size: { type: 'string', short: 's', argument: 'BYTES', help: 'bytes in a message (4096; ud: 1024)' },
  iterations: {
    type: 'string',
    short: 'n',
    argument: 'N',
    help: 'messages each way, the same on both sides (1000)',
  },
  warmup: {
    type: 'string',
    argument: 'N',
    help: 'exclude the first N of them from the statistics (a tenth, 1000 at most)',
  },
  mtu: { type: 'string', short: 'm', argument: 'BYTES', help: 'path MTU of rc and uc: 256 … 4096 (1024)' },
  'rx-depth': { type: 'string', short: 'r', argument: 'N', help: 'receives kept posted (500)' },
  events: { type: 'boolean', short: 'e', help: 'sleep until a completion arrives, instead of polling' },
  timestamps: {
    type: 'string',
    argument: 'CLOCK',
    help: "software: this program's clock (default), or hardware: the device's",
  },
  timeout: { type: 'string', argument: 'SECONDS', help: 'give up when the peer is silent for this long (5)' },
  json: { type: 'boolean', help: 'print one JSON object, latencies in µs' },
} as const

export const ping: Command = {
  name: 'ping',
  summary: 'latency of RC, UC or UD between two processes or hosts',
  synopsis: ['--listen [OPTIONS]', 'HOST [OPTIONS]'],
  description: `
Sends messages back and forth and prints the percentiles of the round trip, exactly, from every
sample. One side listens, the other names it; both take the same --type, --size and -n. Polling,
the default, needs a processor for each side and for each software NIC: with fewer it warns, and
--events measures better. The first messages, which find cold caches, do not count.
The two meet over TCP and speak the protocol of rdma-core's programs, so ibv_rc_pingpong,
ibv_uc_pingpong and ibv_ud_pingpong can be either side (on Ethernet they need -g with the index of
a GID, see 'ibverbs devices').
A round trip is the time from one message's arrival, which this side answers, to the arrival of the
next, so it holds what both sides and their devices take. By default a message has arrived when
this program sees its completion; with --timestamps hardware when the device's clock says that it
was completed (a ConnectX): how late the program looks counts in the answer's way only.
RC reports a lost peer by itself; UC and UD lose messages in silence: --timeout ends the run.`,
  options,
  examples: [
    ['ibverbs ping --listen', 'on one host'],
    ['ibverbs ping server.example --json', 'on the other'],
    ['ibverbs ping server.example -t ud -n 10000 -e', 'datagrams, asleep between them'],
    ['ibverbs ping server.example --timestamps hardware', "measured by a ConnectX's clock"],
    ['ibverbs ping server.example -s 4096', "where 'ibv_rc_pingpong -g 1' listens"],
  ],
  run,
}

function settings(args: readonly string[]): PingSettings {
  const { values, positionals } = parse(args, options)
  if (values.listen) noMoreOperands(positionals, 0)
  else if (positionals.length === 0) throw new UsageError('HOST is missing; to be the server, say --listen')
  const iterations = integerOption('--iterations', values.iterations, 1, 100_000_000) ?? 1000
  const warmup =
    integerOption('--warmup', values.warmup, 0, 100_000_000) ?? Math.min(1000, Math.floor(iterations / 10))
  if (warmup >= iterations)
    throw new UsageError(`--warmup ${warmup} leaves nothing of ${iterations} messages`)
  const [host] = values.listen ? [] : operands(positionals, 'HOST')
  const type = wordOption('--type', values.type, ['rc', 'uc', 'ud']) ?? 'rc'
  const mtu = integerOption('--mtu', values.mtu, 256, 4096) ?? 1024
  if (Math.log2(mtu) % 1 !== 0)
    throw new UsageError(`--mtu must be 256, 512, 1024, 2048 or 4096, not '${mtu}'`)
  return {
    host,
    port: integerOption('--port', values.port, values.listen ? 0 : 1, 65535) ?? defaultPort,
    type,
    device: values.device,
    devicePort: integerOption('--ib-port', values['ib-port'], 1, 255) ?? 1,
    gidIndex: integerOption('--gid-index', values['gid-index'], 0, 255),
    size: integerOption('--size', values.size, 1, 1 << 30) ?? defaultSizes[type],
    iterations,
    warmup,
    mtu,
    depth: integerOption('--rx-depth', values['rx-depth'], 2, 32768) ?? 500,
    events: values.events ?? false,
    timestamps: wordOption('--timestamps', values.timestamps, ['software', 'hardware']) ?? 'software',
    timeout: (numberOption('--timeout', values.timeout, 0.001, 86400) ?? 5) * 1000,
    yieldInterval,
    json: values.json ?? false,
  }
}

async function run(args: readonly string[], session: Session): Promise<ExitCode> {
  const chosen = settings(args)
  const { open } = await import('../../index.js')
  const context = open(chosen.device)
  try {
    const pinged = await exchangeAndRun(context, chosen, session)
    if (chosen.json) session.print(jsonText(pingJson(pinged)))
    else printPing(pinged, session)
    if (pinged.failure !== undefined) session.complain(pinged.failure)
    return pinged.failure === undefined ? ExitCode.ok : ExitCode.failed
  } finally {
    // Closes its queue pair, completion queue and memory too.
    context.close()
  }
}

async function exchangeAndRun(context: Context, chosen: PingSettings, session: Session): Promise<PingRun> {
  const { signal } = session
  const client = chosen.host !== undefined
  // Loaded on demand, like the library itself: --help works without the addon.
  const { checkPort, PingEnd } = await import('./end.js')
  const { rehearse } = await import('./rehearsal.js')
  checkPort(context, chosen)
  const timestamps = chosen.timestamps === 'hardware'
  const completionQueue = context.createCompletionQueue(chosen.depth + 1, { timestamps })
  const stamp = timestamps
    ? (await import('./device-stamp.js')).deviceStamp(context, completionQueue)
    : undefined
  const lame = await rehearse(context, completionQueue, chosen, signal)
  if (lame !== undefined) session.note(`warning: the rehearsal failed, the first messages are slow: ${lame}`)
  let end: PingEnd
  let met: Met
  if (chosen.host !== undefined) {
    end = new PingEnd(context, completionQueue, chosen, signal, { stamp })
    met = await exchangeAsClient(chosen.host, chosen.port, end.destination, signal)
    end.connect(met.remote)
  } else {
    const server = await ExchangeServer.listen(chosen.port, signal)
    try {
      session.note(`${context.name}: waiting for a client on TCP port ${server.port}`)
      const makeEnd = (client: Destination) =>
        new PingEnd(context, completionQueue, chosen, signal, { peerGid: client.gid ?? undefined, stamp })
      ;({ end, met } = await serve(server, makeEnd, signal))
    } finally {
      server.close()
    }
  }
  const { remote, sameHost } = met
  const describe = (side: string, { lid, queuePairNumber, gid }: Destination) =>
    session.note(`${side}: queue pair ${queuePairNumber}, ${gid === null ? `LID ${lid}` : `GID ${gid}`}`)
  describe('local', end.destination)
  describe('remote', remote)
  const ends = sameHost ? 2 : 1
  const warning = chosen.events
    ? null
    : oversubscriptionWarning({ processes: ends, nicThreads: isSoftware(context.name) ? ends : 0 })
  if (warning !== null) session.note(warning)
  const result = await end.run()
  const { type, size, iterations, warmup, events, timestamps: clock } = chosen
  const settings = { type, size, iterations, warmup, events, timestamps: clock }
  const common = { ...settings, device: context.name, client, mtu: end.mtu }
  return { ...common, interrupted: session.interrupted, local: end.destination, remote, ...result }
}

/** The server creates its end when it knows the client's address, so that it can choose a GID of the same kind. */
async function serve(
  server: ExchangeServer,
  makeEnd: (client: Destination) => PingEnd,
  signal: AbortSignal,
): Promise<{ end: PingEnd; met: Met }> {
  let end: PingEnd | undefined
  const met = await server.exchange((client) => {
    end = makeEnd(client)
    end.connect(client)
    return end.destination
  }, signal)
  return { end: end as PingEnd, met }
}
