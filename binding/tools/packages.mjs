// What the project uses of a machine, by group, and how to see that it is there.
// The thing itself is looked for (a command, a header, a library), not a package:
// a machine that has it from elsewhere is left alone.

import { accessSync, constants, existsSync, readdirSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'

/** What each group is for, and what works where it is missing. */
export const groups = {
  build: {
    purpose: 'to build the native part',
    without: 'a build that is there, or a prebuilt package, still runs',
  },
  rdma: { purpose: 'for verbs', without: 'raw Ethernet still works' },
  ethernet: {
    purpose: 'for filters in the words of tcpdump',
    without: 'all else of raw Ethernet still works',
  },
  peers: {
    purpose: 'the programs that ours are compared with',
    without: 'everything of the project itself still works, without comparison',
  },
  pages: {
    purpose: 'a browser that looks at the pages',
    without: 'all but the tests of the pages still works',
  },
  long: {
    purpose: 'peers of the long tests and benchmarks',
    without: 'npm test does not need them',
  },
  vm: {
    purpose: 'for SoftRoCE in a VM',
    without: 'raw Ethernet, and verbs on RDMA devices of this machine, still work',
  },
}

const debianLibraries = readdirSync('/usr/lib').filter((name) => name.includes('-linux-'))
const libraryDirectories = [
  ...debianLibraries.map((name) => join('/usr/lib', name)),
  ...['/usr/lib64', '/usr/lib', '/lib64', '/lib', '/usr/local/lib'],
]

const file = (path) => () => existsSync(path)
const header = (name) => () =>
  [join(dirname(process.execPath), '../include/node'), '/usr/include', '/usr/local/include'].some(
    (directory) => existsSync(join(directory, name)),
  )
const library = (name) => () => libraryDirectories.some((directory) => existsSync(join(directory, name)))
const commands =
  (...names) =>
  () =>
    names.every((name) => findCommand(name))

/** Path of a command; the sbin directories are looked at too, which a user's PATH may lack. */
export function findCommand(name) {
  const path = [...(process.env.PATH ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin']
  return path
    .filter(Boolean)
    .map((directory) => join(directory, name))
    .find((candidate) => {
      try {
        accessSync(candidate, constants.X_OK)
        return true
      } catch {
        return false
      }
    })
}

/** Path of a Chromium: Debian's, or another that is there. */
export const findBrowser = () =>
  ['chromium', 'chromium-browser', 'google-chrome'].map(findCommand).find((path) => path !== undefined)

/** rdma-core's providers are plug-ins in a directory beside the library. */
const provider = (name) => () =>
  libraryDirectories.some((directory) => {
    const plugins = join(directory, 'libibverbs')
    return existsSync(plugins) && readdirSync(plugins).some((plugin) => plugin.startsWith(`lib${name}-`))
  })

const pythonModule = (name) => () =>
  ['/usr/lib/python3/dist-packages', ...libraryDirectories.filter(existsSync).flatMap(sitePackages)].some(
    (directory) => existsSync(join(directory, name)),
  )
const sitePackages = (directory) =>
  readdirSync(directory)
    .filter((name) => /^python3\.\d+$/.test(name))
    .map((name) => join(directory, name, 'site-packages'))

/** @type {Array<{ group: string, debian: string, fedora: string, present: () => boolean }>} */
export const packages = [
  { group: 'build', debian: 'g++', fedora: 'gcc-c++', present: commands('g++') },
  { group: 'build', debian: 'make', fedora: 'make', present: commands('make') },
  { group: 'build', debian: 'cmake', fedora: 'cmake', present: commands('cmake') },
  { group: 'build', debian: 'libuv1-dev', fedora: 'libuv-devel', present: header('uv.h') },
  {
    group: 'build',
    debian: 'libibverbs-dev',
    fedora: 'rdma-core-devel',
    present: header('infiniband/verbs.h'),
  },
  { group: 'build', debian: 'librdmacm-dev', fedora: 'rdma-core-devel', present: header('rdma/rdma_cma.h') },

  { group: 'rdma', debian: 'libibverbs1', fedora: 'libibverbs', present: library('libibverbs.so.1') },
  { group: 'rdma', debian: 'ibverbs-providers', fedora: 'libibverbs', present: provider('rxe') },
  { group: 'rdma', debian: 'librdmacm1', fedora: 'librdmacm', present: library('librdmacm.so.1') },

  {
    group: 'ethernet',
    debian: 'libpcap0.8',
    fedora: 'libpcap',
    present: () => library('libpcap.so.1')() || library('libpcap.so.0.8')(),
  },

  { group: 'peers', debian: 'gcc', fedora: 'gcc', present: commands('gcc') },
  {
    group: 'peers',
    debian: 'ibverbs-utils',
    fedora: 'libibverbs-utils',
    present: commands('ibv_devinfo', 'ibv_rc_pingpong'),
  },
  { group: 'peers', debian: 'perftest', fedora: 'perftest', present: commands('ib_send_lat', 'ib_send_bw') },
  {
    group: 'peers',
    debian: 'infiniband-diags',
    fedora: 'infiniband-diags',
    present: commands('ibstat', 'ibstatus'),
  },
  { group: 'peers', debian: 'rdmacm-utils', fedora: 'librdmacm-utils', present: commands('rping') },
  { group: 'peers', debian: 'python3-pyverbs', fedora: 'python3-pyverbs', present: pythonModule('pyverbs') },
  { group: 'peers', debian: 'bsdextrautils', fedora: 'util-linux', present: commands('hexdump') },
  { group: 'peers', debian: 'xxd', fedora: 'vim-common', present: commands('xxd') },
  { group: 'peers', debian: 'tcpdump', fedora: 'tcpdump', present: commands('tcpdump') },
  { group: 'peers', debian: 'tshark', fedora: 'wireshark-cli', present: commands('tshark') },
  { group: 'peers', debian: 'iproute2', fedora: 'iproute', present: commands('ip', 'rdma') },
  { group: 'peers', debian: 'iputils-ping', fedora: 'iputils', present: commands('ping') },
  { group: 'peers', debian: 'ethtool', fedora: 'ethtool', present: commands('ethtool') },

  { group: 'pages', debian: 'chromium', fedora: 'chromium', present: () => findBrowser() !== undefined },

  { group: 'long', debian: 'dpdk-dev', fedora: 'dpdk', present: commands('dpdk-testpmd') },
  { group: 'long', debian: 'ucx-utils', fedora: 'ucx', present: commands('ucx_info', 'ucx_perftest') },
  {
    group: 'long',
    debian: 'libfabric-bin',
    fedora: 'libfabric',
    present: commands('fi_info', 'fi_pingpong'),
  },
  { group: 'long', debian: 'openmpi-bin', fedora: 'openmpi', present: commands('mpirun') },
  { group: 'long', debian: 'libopenmpi-dev', fedora: 'openmpi-devel', present: commands('mpicc') },
  { group: 'long', debian: 'clang', fedora: 'clang', present: commands('clang++') },
  {
    group: 'long',
    debian: 'libclang-rt-dev', // libFuzzer
    fedora: 'compiler-rt',
    present: () =>
      existsSync('/usr/lib/clang') &&
      readdirSync('/usr/lib/clang', { recursive: true }).some((name) => /libclang_rt\.fuzzer-/.test(name)),
  },

  {
    group: 'vm',
    debian: 'qemu-system-x86',
    fedora: 'qemu-system-x86-core',
    present: commands('qemu-system-x86_64'),
  },
  {
    group: 'vm',
    debian: 'qemu-system-data',
    fedora: 'qemu-common',
    present: file('/usr/share/qemu/qboot.rom'),
  },
  { group: 'vm', debian: 'busybox-static', fedora: 'busybox', present: commands('busybox') },
  { group: 'vm', debian: 'iproute2', fedora: 'iproute', present: commands('ip', 'rdma') },
  { group: 'vm', debian: 'xz-utils', fedora: 'xz', present: commands('xz') },
  { group: 'vm', debian: 'util-linux', fedora: 'util-linux', present: commands('setpriv') },
]

/** What is missing of these groups. */
export const missing = (wanted) =>
  packages.filter(({ group, present }) => wanted.includes(group) && !present())
