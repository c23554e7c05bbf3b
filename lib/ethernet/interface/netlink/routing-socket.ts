import { VerbsError, verbsError } from '../../../errors.js'
import { Kind, native } from '../../../native.js'
import { decode, encode, type Message, MessageFlag, MessageType, readNumber } from './message.js'

/** RTMGRP_NEIGH, linux/rtnetlink.h */
export const neighbourGroup = 4

/**
 * A socket to the kernel's routing tables (rtnetlink(7)), for requests or for notifications of changes.
 *
 * The kernel answers within sendto(2) (rtnetlink_rcv in its net/core/rtnetlink.c), so that the answer is there when the
 * call returns: a request never waits.
 */
export class RoutingSocket {
  readonly #handle: number
  #sequence = 0

  /**
   * @param groups the multicast groups whose notifications to receive
   * @param onEvent called on libuv's loop until {@link drain} has received every message; it keeps the process alive
   */
  constructor(groups = 0, onEvent?: () => void) {
    this.#handle = native.netlink.open(groups, onEvent)
  }

  /**
   * Sends a request and returns the answer: a message, or the errno, 0 for a bare acknowledgement.
   *
   * @throws VerbsError of socket calls; EBADMSG, EPROTO for an invalid answer
   */
  ask(
    type: number,
    flags: number,
    fixed: Uint8Array,
    attributes: readonly (readonly [type: number, value: Uint8Array])[],
  ): Message | number {
    const sequence = ++this.#sequence
    native.netlink.send(this.#handle, encode(type, flags | MessageFlag.request, sequence, fixed, attributes))
    for (;;) {
      const datagram = native.netlink.receive(this.#handle)
      if (!datagram) throw verbsError('EPROTO', 'recvmsg', `the kernel does not answer message ${type}`)
      const answer = decode(datagram).find((message) => message.sequence === sequence)
      if (!answer) continue
      // struct nlmsgerr begins with the negative errno.
      return answer.type === MessageType.error ? -(readNumber(answer.body, 0, 4) | 0) : answer
    }
  }

  /**
   * Receives and drops all notifications. Lost messages (ENOBUFS) are no error: each only says that something has
   * changed.
   */
  drain(): void {
    for (;;) {
      try {
        if (!native.netlink.receive(this.#handle)) return
      } catch (error) {
        if (!(error instanceof VerbsError && error.code === 'ENOBUFS')) throw error
      }
    }
  }

  /** Idempotent. */
  close(): void {
    native.close(this.#handle, Kind.NetlinkSocket)
  }
}
