import { readFileSync } from 'node:fs'

/**
 * How to fix an error, where the call and its errno are enough to know; else empty. Callers that know more (which
 * inline size, which attribute) say so in the error's detail instead.
 */
export function remedy(code: string, syscall: string): string {
  // XDP_UMEM_REG is the only socket option of this package that locks memory.
  const locked = syscall === 'ibv_reg_mr' ? ['ENOMEM', 'EAGAIN'] : syscall === 'setsockopt' ? ['ENOBUFS'] : []
  if (locked.includes(code)) {
    return `locked memory is limited to ${memlockLimit()}: raise it with 'ulimit -l unlimited', LimitMEMLOCK=infinity (systemd) or memlock in /etc/security/limits.conf`
  }
  if (syscall === 'setsockopt' && code === 'ENOMEM') {
    return 'a filter must fit into net.core.optmem_max: raise it with sysctl -w, or give fewer flow rules or groups'
  }
  if (syscall === 'dlopen')
    return 'install rdma-core: apt-get install libibverbs1 ibverbs-providers librdmacm1'
  if (syscall === 'pcap_compile' && code === 'ENOSYS') {
    return 'libpcap compiles filters: apt-get install libpcap0.8 (elsewhere: the package libpcap)'
  }
  if (syscall === 'socket' && code === 'EPERM') {
    return "raw frames need CAP_NET_RAW: run as root, 'setcap cap_net_raw+ep $(readlink -f $(which node))', or in a namespace of your own: unshare -Urn"
  }
  if (syscall === 'bpf' && code === 'EPERM') {
    return "an XDP program needs CAP_NET_ADMIN and CAP_BPF (or CAP_SYS_ADMIN) in the first user namespace, which unshare -U leaves: run as root, or use backend 'af_packet'"
  }
  return ''
}

/** The limit on locked memory in force (RLIMIT_MEMLOCK, getrlimit(2)), in words. */
export function memlockLimit(): string {
  try {
    const line = readFileSync('/proc/self/limits', 'latin1')
      .split('\n')
      .find((text) => text.startsWith('Max locked memory'))
    const soft = line?.slice(26).trim().split(/\s+/)[0]
    if (soft === 'unlimited') return 'unlimited'
    if (soft) return `${Number(soft) / 1024} KiB`
  } catch {
    // no /proc: say that the limit is not known
  }
  return 'an unknown size'
}
