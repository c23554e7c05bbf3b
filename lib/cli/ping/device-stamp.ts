/** A ConnectX's clock, as the completions of a ping carry it. */
import type { CompletionQueue, Context } from '../../index.js'
import { DeviceClock } from '../../mlx5/index.js'
import { Stamps } from '../../mlx5/stamps.js'
import type { Stamp } from './loop.js'

/**
 * @param completionQueue one with timestamps
 * @throws VerbsError ENOTSUP for a device that is no ConnectX, EINVAL for one whose kernel shares no clock page
 */
export function deviceStamp(context: Context, completionQueue: CompletionQueue): Stamp {
  const stamps = new Stamps(DeviceClock.of(context))
  const { timestampLow, timestampHigh } = completionQueue
  const time = new Uint32Array(2)
  let begin = -1
  return (row) => {
    stamps.write(timestampHigh[row], timestampLow[row], time, 0)
    if (begin < 0) begin = time[0]
    // Seconds from the beginning on: a double then holds nanoseconds.
    return (time[0] - begin) * 1e6 + time[1] / 1000
  }
}
