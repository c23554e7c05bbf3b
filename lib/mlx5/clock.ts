import { typeError } from '../argument.js'
import { native } from '../native.js'
import type { Context } from '../verbs/context.js'
import type { NativeClockInfo } from './native.js'
import { assertSupported } from './supported.js'

/**
 * A device's free-running clock, in which completions carry their timestamps, and its conversion to the system's time
 * (mlx5dv_get_clock_info(3), mlx5dv_ts_to_ns(3)).
 */
export class DeviceClock {
  readonly #handle: number
  #info: NativeClockInfo

  private constructor(handle: number) {
    this.#handle = handle
    this.#info = native.mlx5.clockInfo(handle)
  }

  /**
   * The clock of an open device.
   *
   * @throws VerbsError ENOTSUP for a device that is no ConnectX, EINVAL for one whose kernel shares no clock page
   */
  static of(context: Context): DeviceClock {
    return new DeviceClock(assertSupported(context))
  }

  /**
   * Takes the kernel's newest relation between cycles and time. Do so before the last one is older than
   * `maxClockInfoUpdate` of {@link queryDevice}, and before converting what came much later.
   *
   * @throws Error ERR_IBVERBS_CLOSED
   */
  refresh(): void {
    this.#info = native.mlx5.clockInfo(this.#handle)
  }

  /** The relation of the last {@link refresh}. @internal */
  get relation(): NativeClockInfo {
    return this.#info
  }

  /**
   * The system's time at a reading of the clock, by the relation of the last {@link refresh}.
   *
   * @param cycles a completion's timestamp
   * @returns nanoseconds since 1970
   */
  nanoseconds(cycles: bigint): bigint {
    if (typeof cycles !== 'bigint') throw typeError('cycles', 'a bigint', cycles)
    return toNanoseconds(this.#info, cycles)
  }
}

/** mlx5dv_ts_to_ns(3): a reading of more than half the counter's width ahead is one from before. @internal */
export function toNanoseconds(info: NativeClockInfo, cycles: bigint): bigint {
  const { nanoseconds, lastCycles, fraction, multiplier, shift, mask } = info
  const ahead = (cycles - lastCycles) & mask
  if (ahead <= mask / 2n) return BigInt.asUintN(64, nanoseconds + ((ahead * multiplier + fraction) >> shift))
  const behind = (lastCycles - cycles) & mask
  return BigInt.asUintN(64, nanoseconds - ((behind * multiplier - fraction) >> shift))
}
