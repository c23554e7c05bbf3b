/** `ibverbs dump -r`: passes the frames of a capture to a sink. */
import type { PacketFilter } from '../../ethernet/index.js'
import type { Input } from '../input.js'
import type { Session } from '../session.js'
import { framesText } from '../totals.js'
import { Yielder } from '../yielder.js'
import type { FrameSink, SeenFrame } from './frame-sink.js'

/**
 * Passes the matching frames to the sink, even those before a broken record.
 *
 * @param most the maximum number of frames
 */
export async function readCapture(
  input: Input,
  filter: PacketFilter | undefined,
  most: number,
  sink: FrameSink,
  session: Session,
): Promise<void> {
  const { CaptureParser } = await import('../../ethernet/index.js')
  const { signal } = session
  const parser = new CaptureParser()
  const yielder = new Yielder()
  let [found, read] = [0, 0]
  session.note(`reading from ${input.path}, link-type EN10MB (Ethernet)`)
  try {
    while (found < most && !signal.aborted) {
      if (!parser.next()) {
        const bytes = input.read()
        if (bytes === null) {
          parser.end()
          break
        }
        if (bytes) {
          parser.push(bytes)
        } else {
          await sink.flush()
          await input.arrival(signal)
        }
        continue
      }
      read++
      if (yielder.due()) await yielder.yield()
      const { offset, length, originalLength } = parser.frame
      if (filter && !filter.matches(parser.bytes.subarray(offset, offset + length), originalLength)) continue
      const { packetType } = parser.frame
      const known = packetType < 0 ? undefined : packetType
      const frame: SeenFrame = { ...parser.frame, packetType: known, memory: parser.bytes }
      if (!sink.take(frame)) {
        await sink.flush()
        sink.take(frame)
      }
      found++
    }
  } catch (error) {
    if (error instanceof Error) error.message = `${input.path}: ${error.message}`
    throw error
  } finally {
    await sink.close()
    session.note(filter ? `${framesText(found)} of ${read} match` : framesText(found))
  }
}
