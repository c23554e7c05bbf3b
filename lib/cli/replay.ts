/** `ibverbs send --read`: a capture, sent again. */
import type { PacketQueueOptions } from '../ethernet/index.js'
import { ExitCode } from './command.js'
import { LiveLine, Speed } from './live-line.js'
import type { Session } from './session.js'
import { grouped, type Rate } from './traffic/rate.js'
import { Replay } from './traffic/replay.js'
import { percentilesText } from './traffic/text.js'
import { Transmission, transmit } from './traffic/transmit.js'

/** An Ethernet header with a VLAN tag. */
const headers = 14 + 4

export interface ReplaySettings {
  opening: PacketQueueOptions
  count: number
  rate: Rate | undefined
  speed: number
  json: boolean
}

export async function replay(
  name: string,
  path: string,
  { opening, count, rate, speed, json }: ReplaySettings,
  session: Session,
): Promise<ExitCode> {
  const { PacketQueue } = await import('../ethernet/index.js')
  const queue = PacketQueue.open(name, { ...opening, transmitOnly: true })
  try {
    const longest = Math.min(queue.interface.mtu + headers, queue.frames.frameSize)
    const source = new Replay(path, { count, rate, speed, longest, interfaceName: name })
    const sent = new Transmission()
    const live = new LiveLine()
    const pace = new Speed()
    let whole = false
    try {
      await transmit(queue, source, sent, {
        signal: session.signal,
        until: Number.POSITIVE_INFINITY,
        watching: false,
        look: (now) => {
          if (live.due(now)) live.show(`${grouped(sent.sent)} sent, ${grouped(pace.since(sent.sent, now))}/s`)
        },
      })
      whole = source.due() === Number.POSITIVE_INFINITY
    } finally {
      live.clear()
      source.close()
      const paced = rate?.unit !== 'max'
      const { bytes, elapsed, lateness } = sent
      const result = { interface: name, sent: sent.sent, bytes, wanted: whole ? source.frames : null }
      if (json) {
        const late = paced ? lateness.summary() : null
        const more = { cut: source.cut, seconds: elapsed / 1000, unit: 'us', lateness: late }
        session.print(JSON.stringify({ ...result, ...more }))
      } else {
        const perSecond = sent.perSecond > 0 ? `, ${grouped(sent.perSecond)}/s` : ''
        session.print(
          `${sent.sent}${whole ? ` of ${source.frames}` : ''} frames accepted by ${name}, ${bytes} bytes ` +
            `in ${(elapsed / 1000).toFixed(3)} s${perSecond}`,
        )
        const late = paced ? percentilesText('late by µs', lateness) : null
        if (late) session.print(late)
        if (source.cut > 0) session.print(`${source.cut} had been cut when they were captured`)
      }
    }
    return whole && sent.sent === source.frames ? ExitCode.ok : ExitCode.failed
  } finally {
    queue.close()
  }
}
