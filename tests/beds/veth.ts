/**
 * The veth bed: two interfaces connected back to back in the network namespace in which the test runner was started. That
 * namespace, with everything in it, ends with the runner, even after SIGKILL.
 */

import { readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { execFileSync } from './child.js'
import { onOver } from './over.js'

const howTo =
  'start the runner in a network namespace of its own: `unshare -n COMMAND` as root, `unshare -Urn COMMAND` otherwise'

/**
 * Refuses to work in the machine's own network namespace.
 *
 * Where /proc/1/ns/net is not readable, this process is not root of the machine's user namespace; then the kernel allows it
 * to create interfaces only in a namespace of its own.
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

/** Runs ip(8) in this namespace; throws its output if it fails. */
export function ip(...words: string[]): string {
  return execFileSync('ip', words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

/** Runs tc(8) in this namespace. */
export function tc(...words: string[]): string {
  return execFileSync('tc', words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

/** Two interfaces, each the other's peer. */
export interface VethPair extends Disposable {
  readonly a: string
  readonly b: string
  /** Removes both; repeated calls are harmless. */
  remove(): void
}

/**
 * Waits until the link is up. The kernel brings it up in the background (linkwatch); until then it accepts frames and drops
 * them (the noop queueing discipline).
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
 * A new pair, both ends up, without any of the kernel's protocols: it carries the test's frames only.
 *
 * @param options.mtu of both ends, in bytes
 * @param options.queues of both ends, in each direction. One by default: the kernel would create one for each processor, and
 *   an AF_XDP socket sees one
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
