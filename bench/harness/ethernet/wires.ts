import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'

/** A veth pair: frames sent into one end arrive at the other. */
export interface Wire {
  /** Names of the ends, and their addresses. */
  a: string
  b: string
  macA: string
  macB: string
}

const free: Wire[] = []
let made = 0

function ip(script: string): void {
  execFileSync('ip', ['-batch', '-'], { input: script, stdio: ['pipe', 'ignore', 'pipe'] })
}

/**
 * A wire that is not in use; created if there is none. Wires live in the network namespace that bench/run.mjs creates for
 * this run, and go with it.
 */
export function takeWire(): Wire {
  return free.pop() ?? makeWire()
}

/** Returns a wire. */
export function giveWire(wire: Wire): void {
  free.push(wire)
}

function makeWire(): Wire {
  if (made === 0) ip('link set lo up\n')
  const id = (made++).toString(16).padStart(2, '0')
  const wire = {
    ...{ a: `bench${id}a`, b: `bench${id}b` },
    ...{ macA: `02:00:00:00:${id}:0a`, macB: `02:00:00:00:${id}:0b` },
  }
  // One queue in each direction: an AF_XDP socket sees one.
  const queues = 'numtxqueues 1 numrxqueues 1'
  ip(
    `link add ${wire.a} address ${wire.macA} ${queues} type veth ` +
      `peer name ${wire.b} address ${wire.macB} ${queues}\n`,
  )
  for (const name of [wire.a, wire.b]) {
    // No router solicitations: the wire carries measured frames only.
    writeFileSync(`/proc/sys/net/ipv6/conf/${name}/disable_ipv6`, '1')
  }
  ip(`link set ${wire.a} up\nlink set ${wire.b} up\n`)
  // The kernel brings a link up in the background (linkwatch); until then it drops frames.
  const deadline = Date.now() + 10_000
  for (const name of [wire.a, wire.b]) {
    while (!/ UP /.test(execFileSync('ip', ['-br', 'link', 'show', 'dev', name], { encoding: 'utf8' }))) {
      if (Date.now() > deadline) throw new Error(`${name} did not come up`)
    }
  }
  return wire
}

/** Frames that an interface has received since it was created. */
export function receivedBy(name: string): number {
  // Not from /sys, which shows the namespace in which it was mounted.
  const line = readFileSync('/proc/self/net/dev', 'utf8').match(new RegExp(`^ *${name}: *(.*)$`, 'm'))
  if (!line) throw new Error(`${name} is gone`)
  return Number(line[1].split(/ +/)[1])
}
