import { constants } from 'node:os'
import type { VerbsError } from '../../errors.js'
import { Kind, native } from '../../native.js'
import { cells } from '../../ring/ring.js'
import { carrierError, downError, goneError, transferError } from '../failure.js'
import type { NetworkInterface } from './interfaces.js'

/** LinkWatch::News, binding/ethernet/interface/link_watch.h */
const News = { present: 2, up: 4, sends: 8, mtuShift: 4 } as const
/** Bits of `state()`. */
const State = { carrier: 1, sends: 2 } as const
const { ENODEV } = constants.errno

/**
 * Bits of {@link Link.state}: frames do not go out, as far as is known, so that {@link Link.ready} must be called before
 * the next hand-over; the interface is gone.
 */
export const LinkState = { stuck: 1, gone: 2 } as const

/** A change of a link. */
export interface LinkNews {
  /** The interface exists, and was up all the time. */
  up: boolean
  /** Its current MTU; 0: not reported. */
  mtu: number
}

/**
 * The state of the interface under a queue: whether it still exists, and whether sent frames go out.
 *
 * Without a carrier the kernel refuses frames at first (ENOBUFS, AF_XDP: EBUSY). Up to a second later, when it has
 * processed the change, it accepts all frames and drops them. This class therefore asks for the carrier itself, for
 * every backend.
 */
export class Link {
  readonly interface: NetworkInterface
  /** One word of {@link LinkState}, which hot code reads before each batch. */
  readonly state = cells(1)
  /** The reason for the last {@link ready} that was false; null when the state passes in a moment. */
  obstacle: VerbsError | null = null
  #watch: number | undefined
  #listener: ((news: LinkNews) => void) | undefined

  constructor(networkInterface: NetworkInterface) {
    this.interface = networkInterface
  }

  /** See {@link LinkState}. */
  get stuck(): boolean {
    return (this.state[0] & LinkState.stuck) !== 0
  }

  set stuck(yes: boolean) {
    if (yes) this.state[0] |= LinkState.stuck
    else this.state[0] &= ~LinkState.stuck
  }

  /**
   * Starts to watch the link's state.
   *
   * @throws VerbsError of netlink(7)
   */
  watch(): void {
    this.#watch ??= native.ethernet.link.watch(this.interface.index, (news) => this.#happened(news))
    // An interface that has just come up accepts and loses frames for a moment, until the kernel has processed the
    // change.
    this.stuck = !this.#is(State.sends)
  }

  /** @param listener called on libuv's loop, and by {@link look} */
  listen(listener: (news: LinkNews) => void): void {
    this.#listener = listener
  }

  /** Reads the changes that the event loop has not delivered yet. */
  look(): void {
    if (this.#watch === undefined) return
    const news = native.ethernet.link.look(this.#watch)
    if (news !== 0) this.#happened(news)
  }

  /** Whether a frame handed over now goes out, as far as the kernel knows; otherwise sets {@link obstacle}. */
  ready(syscall: string): boolean {
    this.look()
    if (!this.stuck || this.#watch === undefined) return true
    const state = native.ethernet.link.state(this.#watch)
    this.stuck = state < 0 || (state & State.sends) === 0
    if (state === -ENODEV) {
      this.state[0] |= LinkState.gone
      this.obstacle = goneError(syscall, this.interface)
    } else if (state < 0) this.obstacle = downError(syscall, this.interface)
    else this.obstacle = (state & State.carrier) === 0 ? carrierError(syscall, this.interface) : null
    return !this.stuck
  }

  /** Whether there is a carrier; true where there is no link to watch. */
  carries(): boolean {
    if (this.#watch === undefined) return true
    const carrier = this.#is(State.carrier)
    this.stuck ||= !carrier
    return carrier
  }

  /** The error of a failed transfer. A removed interface stays removed: the kernel does not use its index again. */
  failed(errno: number, syscall: string, refusedLength = 0): VerbsError {
    const error = transferError(errno, syscall, this.interface, refusedLength)
    if (error.code === 'ENODEV') this.state[0] |= LinkState.gone
    return error
  }

  /** The kernel reports a removed interface only once; afterwards this check throws. */
  check(syscall: string): void {
    if ((this.state[0] & LinkState.gone) !== 0) throw goneError(syscall, this.interface)
  }

  close(): void {
    if (this.#watch !== undefined) native.close(this.#watch, Kind.LinkWatch)
    this.#watch = undefined
  }

  #is(bit: number): boolean {
    const state = native.ethernet.link.state(this.#watch as number)
    return state > 0 && (state & bit) !== 0
  }

  #happened(news: number): void {
    const up = (news & News.present) !== 0 && (news & News.up) !== 0
    this.stuck = !up || (news & News.sends) === 0
    this.#listener?.({ up, mtu: news >>> News.mtuShift })
  }
}
