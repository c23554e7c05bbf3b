/** Checks of what the package needs: its addon, rdma-core's libraries, RDMA devices, raw packet sockets. */
import { existsSync, realpathSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type * as Ethernet from '../../ethernet/index.js'
import type * as Verbs from '../../index.js'
import type { Check } from './check.js'
import { deviceRemedy } from './kernel-checks.js'
import type { Machine } from './machine.js'

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** Loads the addon; if that fails, the modules are undefined and the check holds the reason. */
export async function loadLibrary(): Promise<{
  check: Check
  verbs?: typeof Verbs
  ethernet?: typeof Ethernet
}> {
  const check = { group: 'libraries', name: 'addon' } as const
  try {
    const verbs = await import('../../index.js')
    const ethernet = await import('../../ethernet/index.js')
    verbs.libibverbsPath() // the first call that needs the addon
    return {
      check: { ...check, status: 'ok', detail: `loaded (${process.platform}-${process.arch})` },
      verbs,
      ethernet,
    }
  } catch (error) {
    const { remedy, cause } = error as Error & { remedy?: string }
    const reason = message(error).replace(`. ${remedy}`, '')
    const why = cause ? message(cause).split('\n')[0] : ''
    return {
      check: {
        ...check,
        status: 'missing',
        detail: reason.includes(why) ? reason : `${reason}: ${why}`,
        ...(remedy ? { remedy } : {}),
      },
    }
  }
}

/** The Debian package of each library. Other distributions ship all of them in rdma-core. */
const packages = { libibverbs: 'libibverbs1', librdmacm: 'librdmacm1', libmlx5: 'ibverbs-providers' } as const

/** @param libibverbs the file libibverbs was loaded from; the other libraries lie beside it */
export function rdmaLibraryChecks(libibverbs: string | null): Check[] {
  const beside = (name: string) => {
    const path = libibverbs && join(dirname(libibverbs), name)
    return path && existsSync(path) ? path : null
  }
  return [
    libraryCheck('libibverbs', libibverbs, 'missing', 'no verbs'),
    libraryCheck('librdmacm', beside('librdmacm.so.1'), 'warn', 'no connections by IP address'),
    libraryCheck('libmlx5', beside('libmlx5.so.1'), 'warn', 'no ConnectX'),
  ]
}

function libraryCheck(
  name: keyof typeof packages,
  path: string | null,
  without: 'warn' | 'missing',
  consequence: string,
): Check {
  if (path) return { group: 'libraries', name, status: 'ok', detail: describeLibrary(path) }
  const remedy = `apt-get install ${packages[name]} (elsewhere: the package rdma-core)`
  return { group: 'libraries', name, status: without, detail: `not found: ${consequence}`, remedy }
}

/** libpcap compiles filters; nothing else needs it. */
export function pcapCheck({ path, version, error }: Ethernet.PcapLibrary): Check {
  const check = { group: 'libraries', name: 'libpcap' } as const
  if (error === '') return { ...check, status: 'ok', detail: `${describeLibrary(path)} (${version})` }
  const remedy = 'apt-get install libpcap0.8 (elsewhere: the package libpcap)'
  return { ...check, status: 'warn', detail: 'not found: no filters', remedy }
}

/** The file's full name ends in rdma-core's version: libibverbs.so.1.14.44.0 belongs to rdma-core 44.0. */
export function describeLibrary(path: string): string {
  let file = path
  try {
    file = realpathSync(path)
  } catch {
    // the path existed a moment ago: its name must do
  }
  const version = /\.so\.\d+\.\d+\.(\d+\.\d+)$/.exec(basename(file))?.[1]
  return version ? `${file} (rdma-core ${version})` : file
}

/** Raw frames: opens a packet queue on the loopback interface, which every network namespace has. */
export function ethernetChecks(ethernet: typeof Ethernet): { checks: Check[]; works: boolean } {
  const checks: Check[] = []
  const check = { group: 'ethernet', name: 'raw frames' } as const
  try {
    checks.push(interfacesCheck(ethernet))
    const up = ethernet.listInterfaces().filter((each) => each.up)
    const tried = up.find((each) => each.loopback) ?? up[0]
    if (!tried) {
      const detail = 'no interface is up: a packet queue could not be tried'
      return {
        checks: [...checks, { ...check, status: 'missing', detail, remedy: 'ip link set lo up' }],
        works: false,
      }
    }
    const queue = ethernet.PacketQueue.open(tried.name, { transmitOnly: true })
    const { backend } = queue
    queue.close()
    checks.push({ ...check, status: 'ok', detail: `a packet queue opens on ${tried.name} (${backend})` })
    return { checks, works: true }
  } catch (error) {
    // The library's errors end with their remedy in parentheses.
    const [, detail, remedy] = /^(.*?)(?: \((.*)\))?$/s.exec(message(error)) as RegExpExecArray
    checks.push({ ...check, status: 'missing', detail, ...(remedy ? { remedy } : {}) })
    return { checks, works: false }
  }
}

function interfacesCheck(ethernet: typeof Ethernet): Check {
  const check = { group: 'ethernet', name: 'interfaces' } as const
  const others = ethernet.listInterfaces().filter((each) => !each.loopback)
  if (others.length === 0) {
    const remedy = "'ip link add v0 type veth peer name v1' makes a pair"
    return { ...check, status: 'warn', detail: 'none but the loopback', remedy }
  }
  const words = others.map(
    ({ name, up, running, mtu }) => `${name} (${up ? (running ? 'up' : 'no link') : 'down'}, mtu ${mtu})`,
  )
  return { ...check, status: 'ok', detail: words.join(', ') }
}

/** RDMA devices, their ports and GIDs. Works when a port is active and, on Ethernet, has a routable GID. */
export function rdmaChecks(verbs: typeof Verbs, machine: Machine): { checks: Check[]; works: boolean } {
  const check = { group: 'rdma', name: 'devices' } as const
  let names: string[]
  try {
    names = verbs.listDevices().map((device) => device.name)
  } catch (error) {
    return { checks: [{ ...check, status: 'missing', detail: message(error) }], works: false }
  }
  if (names.length === 0) {
    return {
      checks: [{ ...check, status: 'missing', detail: 'none', remedy: deviceRemedy(machine) }],
      works: false,
    }
  }
  const checks: Check[] = [{ ...check, status: 'ok', detail: names.join(', ') }]
  let works = false
  for (const name of names) {
    try {
      const device = deviceChecks(verbs, name)
      checks.push(...device.checks)
      works ||= device.works
    } catch (error) {
      checks.push({ group: 'rdma', name, status: 'missing', detail: message(error) })
    }
  }
  return { checks, works }
}

function deviceChecks(verbs: typeof Verbs, name: string): { checks: Check[]; works: boolean } {
  const context = verbs.open(name)
  try {
    const checks: Check[] = []
    let works = false
    const gids = context.queryGidTable()
    for (let port = 1; port <= context.portCount; port++) {
      const { state, linkLayer, activeMtu } = context.queryPort(port)
      const active = state === 'ACTIVE'
      checks.push({
        group: 'rdma',
        name: `${name} port ${port}`,
        status: active ? 'ok' : 'missing',
        detail: `${state}, ${linkLayer}, mtu ${activeMtu}`,
        ...(active ? {} : { remedy: linkRemedy(linkLayer, gids.find((gid) => gid.port === port)?.netdev) }),
      })
      const own = gids.filter((gid) => gid.port === port)
      const usable = linkLayer === 'Ethernet' ? own.filter((gid) => gid.type === 'RoCE v2') : own
      checks.push({
        group: 'rdma',
        name: `${name} port ${port} GIDs`,
        ...(usable.length > 0
          ? { status: 'ok', detail: usable.map((gid) => `[${gid.index}] ${gid.gid} ${gid.type}`).join(', ') }
          : {
              status: 'missing',
              detail: own.length > 0 ? 'RoCE v1 only: does not cross routers' : 'none',
              remedy: 'give the interface an address: ip addr add 192.0.2.1/24 dev INTERFACE',
            }),
      })
      works ||= active && usable.length > 0
    }
    return { checks, works }
  } finally {
    context.close()
  }
}

function linkRemedy(linkLayer: string, netdev: string | null | undefined): string {
  if (linkLayer === 'Ethernet') return `ip link set ${netdev ?? 'INTERFACE'} up, and a link partner`
  return 'a cable, and a subnet manager in the fabric (opensm)'
}
