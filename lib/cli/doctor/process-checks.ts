/** Checks of this process: Node's version, capabilities, locked memory. */
import type { Check } from './check.js'
import type { Machine } from './machine.js'

/** Bits of CapEff: linux/capability.h. */
const capabilities = [
  { name: 'CAP_NET_RAW', bit: 13n, use: 'raw frames (AF_PACKET, AF_XDP, raw packet QPs)' },
  { name: 'CAP_NET_ADMIN', bit: 12n, use: 'attaching XDP programs, flow rules' },
  { name: 'CAP_BPF', bit: 39n, use: 'loading XDP programs' },
  { name: 'CAP_IPC_LOCK', bit: 14n, use: 'locking memory beyond the memlock limit' },
] as const
const CAP_SYS_ADMIN = 21n

/** The oldest Node that package.json allows. */
const oldestNode = [20, 19]

export function processChecks(machine: Machine, nodeVersion?: string): Check[] {
  return [
    nodeCheck(nodeVersion),
    ...capabilityChecks(machine),
    userNamespaceCheck(machine),
    memlockCheck(machine),
  ]
}

export function nodeCheck(version = process.versions.node): Check {
  const [major, minor] = version.split('.').map(Number)
  const good = major > oldestNode[0] || (major === oldestNode[0] && minor >= oldestNode[1])
  const name = 'Node.js'
  const detail = `${version} for ${process.platform} ${process.arch}`
  if (good) return { group: 'process', name, status: 'ok', detail }
  return {
    group: 'process',
    name,
    status: 'missing',
    detail,
    remedy: `install Node ${oldestNode.join('.')} or later`,
  }
}

function effectiveCapabilities(machine: Machine): bigint {
  const text = machine.field('proc/self/status', 'CapEff')
  return text && /^[\da-f]+$/i.test(text) ? BigInt(`0x${text}`) : 0n
}

function capabilityChecks(machine: Machine): Check[] {
  const effective = effectiveCapabilities(machine)
  const has = (bit: bigint) => (effective & (1n << bit)) !== 0n
  return capabilities.map(({ name, bit, use }): Check => {
    // CAP_SYS_ADMIN includes CAP_BPF, which Linux 5.8 split off (capabilities(7)).
    if (has(bit) || (name === 'CAP_BPF' && has(CAP_SYS_ADMIN))) {
      return { group: 'process', name, status: 'ok', detail: use }
    }
    const remedy = `run as root, or 'setcap ${name.toLowerCase()}+ep $(readlink -f $(which node))'`
    return { group: 'process', name, status: 'warn', detail: `not held: needed for ${use}`, remedy }
  })
}

function userNamespaceCheck(machine: Machine): Check {
  const check = { group: 'process', name: 'user namespace' } as const
  // The initial namespace maps every id to itself (user_namespaces(7)).
  const map = machine.text('proc/self/uid_map')?.split(/\s+/).join(' ')
  if (map === undefined || map === '0 0 4294967295') {
    return { ...check, status: 'ok', detail: 'the first: capabilities count everywhere' }
  }
  return {
    ...check,
    status: 'warn',
    detail: 'not the first: capabilities count only for what belongs to it; no XDP programs',
    remedy: 'run outside of the container or of unshare -U',
  }
}

function memlockCheck(machine: Machine): Check {
  const check = { group: 'process', name: 'locked memory' } as const
  const limit = machine
    .text('proc/self/limits')
    ?.split('\n')
    .find((line) => line.startsWith('Max locked memory'))
    ?.slice('Max locked memory'.length)
    .trim()
    .split(/\s+/)[0]
  if (limit === undefined)
    return { ...check, status: 'warn', detail: 'the limit is not known: no /proc/self/limits' }
  if (limit === 'unlimited') return { ...check, status: 'ok', detail: 'unlimited' }
  const detail = `limited to ${Number(limit) / 1024} KiB`
  if (effectiveCapabilities(machine) & (1n << 14n)) {
    return { ...check, status: 'ok', detail: `${detail}, which CAP_IPC_LOCK lifts` }
  }
  return {
    ...check,
    status: 'warn',
    detail: `${detail}: registering more memory fails with ENOMEM`,
    remedy: "'ulimit -l unlimited', LimitMEMLOCK=infinity (systemd), or memlock in /etc/security/limits.conf",
  }
}
