/** `ibverbs send --read`: a capture, sent again. */
import type { PacketQueueOptions } from '../../ethernet/index.js'
import { ExitCode } from '../exit-code.js'
import { jsonText } from '../json.js'
import { LiveLine, Speed } from '../live-line.js'
import type { Session } from '../session.js'
import { refusalsText } from '../totals.js'
import { grouped, perSecondText } from '../traffic/rate.js'
import { Replay, type ReplayOptions } from '../traffic/replay.js'
import { percentilesText } from '../traffic/text.js'
import { Transmission, transmit } from '../traffic/transmit.js'

export interface ReplaySettings extends Omit<ReplayOptions, 'mtu' | 'frameSize' | 'interfaceName'> {
  opening: PacketQueueOptions
  json: boolean
}

export async function replay(
  name: string,
  path: string,
  { opening, json, ...options }: ReplaySettings,
  session: Session,
): Promise<ExitCode> {
  const { PacketQueue } = await import('../../ethernet/index.js')
  const queue = PacketQueue.open(name, { ...opening, transmitOnly: true })
  try {
    const { frameSize } = queue.frames
    const source = new Replay(path, { ...options, mtu: queue.interface.mtu, frameSize, interfaceName: name })
    const sent = new Transmission()
    const live = new LiveLine()
    const pace = new Speed()
    let whole = false
    let wanted = 0
    try {
      await transmit(queue, source, sent, {
        signal: session.signal,
        until: Number.POSITIVE_INFINITY,
        watching: false,
        look: (now) => {
          if (live.due(now))
            live.show(`${grouped(sent.sent)} sent, ${perSecondText(pace.since(sent.sent, now))}`)
        },
      })
      whole = source.ended && !source.failure
    } finally {
      live.clear()
      source.close()
      const paced = options.rate?.unit !== 'max'
      const { bytes, elapsed, lateness } = sent
      wanted = source.frames - source.skipped
      const result = { interface: name, sent: sent.sent, bytes, wanted: whole ? wanted : null }
      if (json) {
        const late = paced ? lateness.summary() : null
        const { cut, shortened, skipped } = source
        const more = { cut, shortened, skipped, seconds: elapsed / 1000, unit: 'us', lateness: late }
        session.print(jsonText({ ...result, ...more }))
      } else {
        const perSecond = sent.perSecond > 0 ? `, ${perSecondText(sent.perSecond)}` : ''
        session.print(
          `${sent.sent}${whole ? ` of ${wanted}` : ''} frames accepted by ${name}, ${bytes} bytes ` +
            `in ${(elapsed / 1000).toFixed(3)} s${perSecond}`,
        )
        const late = paced ? percentilesText('late by µs', lateness) : null
        if (late) session.print(late)
        for (const line of refusalsText(queue.statistics())) session.print(line)
        if (source.cut > 0) session.print(`${source.cut} had been cut when they were captured`)
        if (source.shortened > 0) session.print(`${source.shortened} were too long and sent in part`)
        if (source.skipped > 0)
          session.print(`${source.skipped} more were passed over: too long, or too short`)
      }
    }
    if (source.failure) throw source.failure
    return whole && sent.sent === wanted ? ExitCode.ok : ExitCode.failed
  } finally {
    queue.close()
  }
}
