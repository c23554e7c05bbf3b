import { constants } from 'node:os'
import type { VerbsError } from '../../errors.js'
import { Kind, native } from '../../native.js'
import { carrierError, downError, goneError, transferError } from '../failure.js'
import type { NetworkInterface } from './interfaces.js'

/** LinkWatch::News, binding/ethernet/interface/link_watch.h */
const News = { present: 2, up: 4, sends: 8, mtuShift: 4 } as const
/** Of `state()`. */
const State = { carrier: 1, sends: 2 } as const
const { ENODEV } = constants.errno

/** What became of a link. */
export interface LinkNews {
  /** It is there, and was up all the time. */
  up: boolean
  /** Its MTU now; 0: not told. */
  mtu: number
}

/**
 * The interface under a queue: whether it is still there, and whether what is sent goes out.
 *
 * Without a carrier the kernel refuses frames at first (ENOBUFS, EBUSY of AF_XDP), and from when it has taken notice, up
 * to a second later, accepts them all and throws them away. So that is asked for here, for all of its backends.
 */
export class Link {
  readonly interface: NetworkInterface
  /** As far as is known frames do not go out: {@link ready} must be asked before any is handed over. */
  stuck = false
  /** Of the last {@link ready} that was false: why; null when it will pass in a moment. */
  obstacle: VerbsError | null = null
  #gone = false
  #watch: number | undefined
  #listener: ((news: LinkNews) => void) | undefined

  constructor(networkInterface: NetworkInterface) {
    this.interface = networkInterface
  }

  /**
   * From now on is told what becomes of the link.
   *
   * @throws VerbsError of netlink(7)
   */
  watch(): void {
    this.#watch ??= native.ethernet.link.watch(this.interface.index, (news) => this.#happened(news))
    // What comes up takes and loses frames for a moment, as long as nobody has noticed.
    this.stuck = !this.#is(State.sends)
  }

  /** @param listener called on libuv's loop, and by {@link look} */
  listen(listener: (news: LinkNews) => void): void {
    this.#listener = listener
  }

  /** Hears what the event loop has had no time to tell. */
  look(): void {
    if (this.#watch === undefined) return
    const news = native.ethernet.link.look(this.#watch)
    if (news !== 0) this.#happened(news)
  }

  /** Whether what is handed over now goes out, so far as the kernel knows; else {@link obstacle} is set. */
  ready(syscall: string): boolean {
    this.look()
    if (!this.stuck || this.#watch === undefined) return true
    const state = native.ethernet.link.state(this.#watch)
    this.stuck = state < 0 || (state & State.sends) === 0
    if (state === -ENODEV) {
      this.#gone = true
      this.obstacle = goneError(syscall, this.interface)
    } else if (state < 0) this.obstacle = downError(syscall, this.interface)
    else this.obstacle = (state & State.carrier) === 0 ? carrierError(syscall, this.interface) : null
    return !this.stuck
  }

  /** Whether there is a carrier; true for what has no link that could be watched. */
  carries(): boolean {
    if (this.#watch === undefined) return true
    const carrier = this.#is(State.carrier)
    this.stuck ||= !carrier
    return carrier
  }

  /** The error of a transfer that failed. Once the interface was removed it stays so: its index does not come again. */
  failed(errno: number, syscall: string, refusedLength = 0): VerbsError {
    const error = transferError(errno, syscall, this.interface, refusedLength)
    this.#gone ||= error.code === 'ENODEV'
    return error
  }

  /** The kernel reports a removed interface only once: after that this does. */
  check(syscall: string): void {
    if (this.#gone) throw goneError(syscall, this.interface)
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
