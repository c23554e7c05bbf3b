/**
 * The veth bed: a wire of the test's own, two interfaces joined back to back in the network namespace that the test
 * runner was started in. That namespace, and everything in it, is gone when the runner is, also after SIGKILL.
 */

import { readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { execFileSync } from './child.js'
import { onOver } from './over.js'

const howTo =
  'start the runner in a network namespace of its own: `unshare -n COMMAND` as root, `unshare -Urn COMMAND` otherwise'

/**
 * Refuses to work in the network namespace that the machine itself uses.
 *
 * Where /proc/1/ns/net cannot be read we are not root of the machine's user namespace; then the kernel itself lets us
 * make interfaces only in a namespace of our own.
 */
export function requireOwnNamespace(): void {
  let machine: string
  try {
    machine = readlinkSync('/proc/1/ns/net')
  } catch {
    return
  }
  if (machine === readlinkSync('/proc/self/ns/net')) {
    throw new Error(`this is the machine's own network namespace, where tests touch nothing: ${howTo}`)
  }
}

/** Runs ip(8) in this namespace; throws with what it said. */
export function ip(...words: string[]): string {
  return execFileSync('ip', words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

/** Runs tc(8) in this namespace. */
export function tc(...words: string[]): string {
  return execFileSync('tc', words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

/** Two interfaces, each other's peer. */
export interface VethPair extends Disposable {
  readonly a: string
  readonly b: string
  /** Removes both; again is harmless. */
  remove(): void
}

/**
 * The kernel switches a link on in the background (linkwatch): until then it accepts frames and drops them (the noop
 * queueing discipline). Asks until the link is up.
 */
export function awaitRunning(name: string): void {
  const deadline = Date.now() + 10_000
  while (!/ UP /.test(ip('-br', 'link', 'show', 'dev', name))) {
    if (Date.now() > deadline)
      throw new Error(`${name} did not come up in 10 s: ${ip('link', 'show', 'dev', name)}`)
  }
}

let count = 0

/**
 * A new pair, both ends up, with no protocol of the kernel's own on it: nothing is on this wire but what a test sends.
 *
 * @param options.mtu of both ends, in bytes
 * @param options.queues of both ends, each way. One by default: the kernel would make one for each processor, and an
 *   AF_XDP socket sees one
 */
export function vethPair(options: { mtu?: number; queues?: number } = {}): VethPair {
  requireOwnNamespace()
  const name = `v${process.pid.toString(36)}x${(count++).toString(36)}`
  const [a, b] = [`${name}a`, `${name}b`]
  const mtu = String(options.mtu ?? 1500)
  const queues = String(options.queues ?? 1)
  const end = ['mtu', mtu, 'numtxqueues', queues, 'numrxqueues', queues]
  ip('link', 'add', a, ...end, 'type', 'veth', 'peer', 'name', b, ...end)
  for (const end of [a, b]) {
    // Before it is up: no router solicitations, no multicast reports.
    writeFileSync(join('/proc/sys/net/ipv6/conf', end, 'disable_ipv6'), '1')
    ip('link', 'set', end, 'up')
  }
  for (const end of [a, b]) awaitRunning(end)
  let removed = false
  const remove = (): void => {
    if (removed) return
    removed = true
    try {
      ip('link', 'del', a)
    } catch (error) {
      // A test may have removed it itself.
      if (!String(error).includes('Cannot find device')) throw error
    }
  }
  onOver(remove)
  return { a, b, remove, [Symbol.dispose]: remove }
}
