/** The exports of binding/control/. */
export interface ControlNative {
  /** The effective user of the process at the other end of a Unix socket, when it connected (SO_PEERCRED). */
  peerOwner(descriptor: number): number
}
