import { boolean } from '../../argument.js'
import { SendFlag } from './records.js'

/** Flags of a send request (ibv_send_flags, ibv_post_send(3)). */
export interface SendFlags {
  /** Generate a completion: true by default. An unsignalled request generates one only if it fails. */
  signaled?: boolean
  /** Wait for earlier reads and atomics of this queue pair. Default false. */
  fence?: boolean
  /** Wake a receiver that waits for solicited completions only: see {@link CompletionWaitOptions}. Default false. */
  solicited?: boolean
  /** Copy the bytes at submit: they may change right after it, and the device needs no lkey for them. Default false. */
  inline?: boolean
  /**
   * RAW_PACKET: the device computes the checksums of the IPv4 header, TCP and UDP (IBV_SEND_IP_CSUM). Default false.
   */
  checksum?: boolean
}

/** The flags as bits of ibv_send_flags. */
export function sendFlags(options: SendFlags): number {
  const flag = (name: keyof SendFlags, bit: number, otherwise: boolean) =>
    boolean(`options.${name}`, options[name] ?? otherwise) ? bit : 0
  return (
    flag('signaled', SendFlag.SIGNALED, true) |
    flag('fence', SendFlag.FENCE, false) |
    flag('solicited', SendFlag.SOLICITED, false) |
    flag('inline', SendFlag.INLINE, false) |
    flag('checksum', SendFlag.IP_CSUM, false)
  )
}
