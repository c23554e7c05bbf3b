/** Checks of the kernel's features. */
import type { Check } from './check.js'
import type { Machine } from './machine.js'

export function kernelChecks(machine: Machine): Check[] {
  return [
    { group: 'kernel', name: 'Linux', status: 'ok', detail: machine.release },
    socketFamily(machine, 'AF_PACKET', 'PACKET', 'CONFIG_PACKET', 'af_packet', 'raw frames'),
    socketFamily(machine, 'AF_XDP', 'XDP', 'CONFIG_XDP_SOCKETS', 'xsk_diag', 'raw frames without copies'),
    bpf(machine),
    ioUring(machine),
    userNamespaces(machine),
    userfaultfd(machine),
    hugePages(machine),
    transparentHugePages(machine),
    rdma(machine),
    softRoce(machine),
  ]
}

/** /proc/net/protocols lists registered protocols, and a module's only after it is loaded. */
function socketFamily(
  machine: Machine,
  name: string,
  protocol: string,
  option: string,
  module: string,
  use: string,
): Check {
  const check = { group: 'kernel', name } as const
  const registered = machine
    .text('proc/net/protocols')
    ?.split('\n')
    .some((line) => line.split(/\s+/, 1)[0] === protocol)
  if (registered) return { ...check, status: 'ok', detail: `sockets for ${use}` }
  if (machine.module(module) === 'available')
    return { ...check, status: 'ok', detail: `module ${module}, loaded on use` }
  return { ...check, status: 'missing', detail: `no ${use}`, remedy: `a kernel with ${option}` }
}

function bpf(machine: Machine): Check {
  const check = { group: 'kernel', name: 'BPF' } as const
  const restriction = machine.number('proc/sys/kernel/unprivileged_bpf_disabled')
  if (restriction === undefined) {
    return {
      ...check,
      status: 'missing',
      detail: 'no XDP programs',
      remedy: 'a kernel with CONFIG_BPF_SYSCALL',
    }
  }
  return { ...check, status: 'ok', detail: `programs for XDP${restriction ? ', with CAP_BPF only' : ''}` }
}

function ioUring(machine: Machine): Check {
  const check = { group: 'kernel', name: 'io_uring' } as const
  const disabled = machine.number('proc/sys/kernel/io_uring_disabled')
  if (disabled === 2 || disabled === 1) {
    return {
      ...check,
      status: 'warn',
      detail: disabled === 2 ? 'switched off' : 'for privileged processes only',
      remedy: 'sysctl -w kernel.io_uring_disabled=0',
    }
  }
  if (disabled === 0 || machine.kernelOption('CONFIG_IO_URING') === 'y')
    return { ...check, status: 'ok', detail: 'there' }
  const known = machine.kernelOption('CONFIG_IO_URING') === 'n'
  return { ...check, status: 'warn', detail: known ? 'not built into this kernel' : 'not known' }
}

function userNamespaces(machine: Machine): Check {
  const check = { group: 'kernel', name: 'user namespaces' } as const
  const most = machine.number('proc/sys/user/max_user_namespaces')
  if (!most) {
    return {
      ...check,
      status: 'warn',
      detail: 'none: no raw frames without privileges',
      remedy: 'sysctl -w user.max_user_namespaces=15000',
    }
  }
  // Switches that only Debian's and Ubuntu's kernels have.
  if (machine.number('proc/sys/kernel/unprivileged_userns_clone') === 0) {
    const remedy = 'sysctl -w kernel.unprivileged_userns_clone=1'
    return { ...check, status: 'warn', detail: 'for privileged processes only', remedy }
  }
  if (machine.number('proc/sys/kernel/apparmor_restrict_unprivileged_userns') === 1) {
    const remedy = 'sysctl -w kernel.apparmor_restrict_unprivileged_userns=0'
    return { ...check, status: 'warn', detail: 'restricted by AppArmor', remedy }
  }
  return { ...check, status: 'ok', detail: "'unshare -Urn' gives raw frames without privileges" }
}

function userfaultfd(machine: Machine): Check {
  const check = { group: 'kernel', name: 'userfaultfd' } as const
  const unprivileged = machine.number('proc/sys/vm/unprivileged_userfaultfd')
  if (unprivileged === undefined && !machine.exists('dev/userfaultfd')) {
    return {
      ...check,
      status: 'warn',
      detail: 'not there: nothing here needs it yet',
      remedy: 'CONFIG_USERFAULTFD',
    }
  }
  return { ...check, status: 'ok', detail: unprivileged ? 'for everybody' : 'for privileged processes' }
}

function hugePages(machine: Machine): Check {
  const check = { group: 'kernel', name: 'huge pages' } as const
  const total = Number(machine.field('proc/meminfo', 'HugePages_Total') ?? 0)
  const free = Number(machine.field('proc/meminfo', 'HugePages_Free') ?? 0)
  const size = machine.field('proc/meminfo', 'Hugepagesize') ?? 'unknown size'
  if (total > 0) return { ...check, status: 'ok', detail: `${free} of ${total} free, ${size} each` }
  return { ...check, status: 'ok', detail: 'none reserved; arenas use transparent ones' }
}

function transparentHugePages(machine: Machine): Check {
  const check = { group: 'kernel', name: 'transparent huge pages' } as const
  const mode = /\[(\w+)\]/.exec(machine.text('sys/kernel/mm/transparent_hugepage/enabled') ?? '')?.[1]
  if (mode === 'always' || mode === 'madvise') return { ...check, status: 'ok', detail: mode }
  return {
    ...check,
    status: 'warn',
    detail: mode === 'never' ? 'switched off: large arenas cost more TLB misses' : 'not in this kernel',
    ...(mode ? { remedy: 'echo madvise > /sys/kernel/mm/transparent_hugepage/enabled' } : {}),
  }
}

function rdma(machine: Machine): Check {
  const check = { group: 'kernel', name: 'RDMA' } as const
  const nodes = machine.list('dev/infiniband').filter((name) => name.startsWith('uverbs'))
  if (nodes.length > 0) {
    const closed = nodes.filter((name) => !machine.usable(`dev/infiniband/${name}`))
    if (closed.length === 0)
      return { ...check, status: 'ok', detail: nodes.map((name) => `/dev/infiniband/${name}`).join(' ') }
    const remedy = `let this user read and write /dev/infiniband/${closed[0]} (group or udev rule; rdma-core's is 0666)`
    return { ...check, status: 'missing', detail: `no access to ${closed.join(' ')}`, remedy }
  }
  if (machine.exists('sys/class/infiniband_verbs') || machine.module('ib_uverbs') === 'loaded') {
    return {
      ...check,
      status: 'missing',
      detail: 'there, but without any device',
      remedy: deviceRemedy(machine),
    }
  }
  if (machine.module('ib_uverbs') === 'available') {
    return { ...check, status: 'missing', detail: 'not loaded', remedy: 'modprobe ib_uverbs' }
  }
  const detail =
    machine.kernelOption('CONFIG_INFINIBAND') === 'n'
      ? 'not built into this kernel'
      : `no module ib_uverbs for ${machine.release}`
  return { ...check, status: 'missing', detail, remedy: kernelRemedy }
}

/** For a kernel without RDMA: a virtual machine with the distribution's kernel has it. */
export const kernelRemedy =
  "a kernel with RDMA, such as Debian's linux-image-amd64 (the cloud flavour has none), or a virtual machine with one"

/** How to create an RDMA device on a machine with a network interface. */
export function deviceRemedy(machine: Machine): string {
  return `${softRemedy}; or ${kernelDevice(machine)}`
}

/** Needs neither hardware nor kernel module nor privilege. */
export const softRemedy =
  "a software ConnectX works at once: IBVERBS_SOFT=loop, softConnectX() of 'ibverbs/soft', or 'ibverbs soft -- PROGRAM'"

function kernelDevice(machine: Machine): string {
  if (machine.module('rdma_rxe') !== 'absent')
    return "'rdma link add rxe0 type rxe netdev eth0' makes a SoftRoCE device"
  return 'an RDMA NIC and its driver (mlx5_ib for a ConnectX), or a kernel with the module rdma_rxe (SoftRoCE)'
}

function softRoce(machine: Machine): Check {
  const check = { group: 'kernel', name: 'SoftRoCE (rdma_rxe)' } as const
  const state = machine.module('rdma_rxe')
  if (state === 'loaded') return { ...check, status: 'ok', detail: 'loaded' }
  if (state === 'available') {
    return {
      ...check,
      status: 'ok',
      detail: "not loaded; 'rdma link add rxe0 type rxe netdev eth0' loads it",
    }
  }
  return { ...check, status: 'warn', detail: `no module for ${machine.release}`, remedy: kernelRemedy }
}
