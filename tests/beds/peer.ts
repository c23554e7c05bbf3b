/**
 * The peer bed: a network namespace with the kernel's whole stack, at the other end of a veth pair. It ends with this
 * process: its holder reads this process's standard input.
 */

import { once } from 'node:events'
import { type ChildProcess, execFileSync, spawn } from './child.js'
import { awaitRunning, ip, requireOwnNamespace } from './veth.js'

let count = 0

export interface PeerOptions {
  /** IPv4 addresses of both ends, in CIDR notation; omit the near one for a responder in the test. */
  near?: string
  far: string
  /** IPv6 addresses of both ends. */
  near6?: string
  far6?: string
  /** Leave the offloads of the far end on: its frames then have partial checksums. Default: off. */
  offloads?: boolean
}

/** An interface here, and one in the peer's namespace. */
export class Peer implements AsyncDisposable {
  readonly #holder: ChildProcess
  private constructor(
    /** The interface of the test. */
    readonly near: string,
    /** The interface of the peer's kernel. */
    readonly far: string,
    holder: ChildProcess,
  ) {
    this.#holder = holder
  }

  static async create(options: PeerOptions): Promise<Peer> {
    requireOwnNamespace()
    const name = `p${process.pid.toString(36)}x${(count++).toString(36)}`
    const [near, far] = [`${name}a`, `${name}b`]
    const holder = spawn('unshare', ['--net', 'sh', '-c', 'echo ready; exec cat'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    await once(holder.stdout!, 'data')
    const peer = new Peer(near, far, holder)
    const one = ['numtxqueues', '1', 'numrxqueues', '1']
    ip('link', 'add', near, ...one, 'type', 'veth', 'peer', 'name', far, ...one)
    ip('link', 'set', far, 'netns', String(holder.pid))
    // No router solicitations; and IPv6 only on request.
    const quiet = (interfaceName: string, on: boolean) => [
      'sh',
      '-c',
      `cd /proc/sys/net/ipv6/conf/${interfaceName} && echo 0 > accept_dad && echo 0 > router_solicitations && echo ${on ? 0 : 1} > disable_ipv6`,
    ]
    execFileSync(quiet(near, true)[0], quiet(near, options.near6 !== undefined).slice(1))
    peer.run(...quiet(far, options.far6 !== undefined))
    peer.run('ip', 'link', 'set', 'lo', 'up')
    peer.run('ip', 'addr', 'add', options.far, 'dev', far)
    if (options.far6) peer.run('ip', 'addr', 'add', options.far6, 'dev', far, 'nodad')
    if (options.near) ip('addr', 'add', options.near, 'dev', near)
    if (options.near6) ip('addr', 'add', options.near6, 'dev', near, 'nodad')
    ip('link', 'set', near, 'up')
    peer.run('ip', 'link', 'set', far, 'up')
    awaitRunning(near)
    return peer
  }

  /** The command line that runs a command in the peer's namespace. */
  inside(...words: string[]): [command: string, ...args: string[]] {
    return ['nsenter', '-t', String(this.#holder.pid), '-n', ...words]
  }

  /** Runs a command there to its end; throws its output if it fails. */
  run(...words: string[]): string {
    const [command, ...args] = this.inside(...words)
    return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  }

  /** MAC address of the peer's interface. */
  get farMac(): string {
    return /link\/ether (\S+)/.exec(this.run('ip', 'link', 'show', 'dev', this.far))![1]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      ip('link', 'del', this.near)
    } catch {
      // A test may have removed it.
    }
    this.#holder.stdin!.end()
    await once(this.#holder, 'exit')
  }
}
