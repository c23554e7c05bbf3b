import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { release, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { libibverbsPath, listDevices } from 'ibverbs'
import { listInterfaces } from 'ibverbs/ethernet'
import { afterAll, describe, expect, test } from 'vitest'
import { kernelChecks } from '../../dist/cli/doctor/kernel-checks.js'
import { describeLibrary } from '../../dist/cli/doctor/library-checks.js'
import { Machine } from '../../dist/cli/doctor/machine.js'
import { processChecks } from '../../dist/cli/doctor/process-checks.js'
import { ibverbs, Running } from './run.js'

interface Check {
  group: string
  name: string
  status: 'ok' | 'warn' | 'missing'
  detail: string
  remedy?: string
}

const find = (checks: readonly Check[], name: string) => checks.find((check) => check.name === name)

describe('on this machine', async () => {
  const { stdout, stderr, code } = await ibverbs(['doctor', '--json'])
  const diagnosis = JSON.parse(stdout) as { ok: boolean; works: Record<string, boolean>; checks: Check[] }
  const { checks } = diagnosis

  test('the JSON has its shape', () => {
    expect(stderr).toBe('')
    expect(Object.keys(diagnosis)).toEqual(['ok', 'works', 'checks'])
    for (const check of checks) {
      expect(check).toEqual({
        group: expect.stringMatching(/^(process|libraries|kernel|ethernet|rdma)$/),
        name: expect.stringMatching(/./),
        status: expect.stringMatching(/^(ok|warn|missing)$/),
        detail: expect.stringMatching(/./),
        ...(check.remedy === undefined ? {} : { remedy: expect.stringMatching(/./) }),
      })
    }
    expect(new Set(checks.map(({ name }) => name)).size).toBe(checks.length)
  })

  test('each missing check has a remedy', () => {
    for (const check of checks) if (check.status === 'missing') expect(check).toHaveProperty('remedy')
  })

  test('the exit code says whether a main path works', () => {
    expect(diagnosis.ok).toBe(diagnosis.works.ethernet || diagnosis.works.verbs)
    expect(code).toBe(diagnosis.ok ? 0 : 1)
  })

  test('Node, the kernel and the addon are those that run', () => {
    expect(find(checks, 'Node.js')).toMatchObject({
      status: 'ok',
      detail: expect.stringContaining(process.versions.node),
    })
    expect(find(checks, 'Linux')?.detail).toBe(release())
    expect(find(checks, 'addon')?.status).toBe('ok')
  })

  test('the libraries are the ones that the package opens', () => {
    const path = libibverbsPath()
    const check = find(checks, 'libibverbs')
    expect(check?.status).toBe(path === null ? 'missing' : 'ok')
    if (path !== null) expect(check?.detail).toContain(dirname(path))
  })

  test('RDMA works only where there is a device', () => {
    const names = libibverbsPath() === null ? [] : listDevices().map(({ name }) => name)
    const check = find(checks, 'devices')
    if (names.length === 0) {
      expect(check?.status).toBe('missing')
      expect(diagnosis.works.verbs).toBe(false)
    } else expect(check).toMatchObject({ status: 'ok', detail: names.join(', ') })
  })

  test('the interfaces are those of this network namespace', () => {
    const others = listInterfaces().filter(({ loopback }) => !loopback)
    for (const { name } of others) expect(find(checks, 'interfaces')?.detail).toContain(name)
  })

  test('the readable report has a line for each check, and a verdict', async () => {
    const report = await ibverbs(['doctor'])
    expect(report.code).toBe(code)
    for (const { name, status } of checks) {
      const escaped = name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
      expect(report.stdout).toMatch(new RegExp(`^ {2}${status} +${escaped} {2}`, 'm'))
    }
    expect(report.stdout).toContain(
      `Raw Ethernet frames ${diagnosis.works.ethernet ? 'work' : 'do not work'} here.\n`,
    )
    expect(report.stdout).toContain(`RDMA verbs ${diagnosis.works.verbs ? 'work' : 'do not work'} here.\n`)
  })
})

describe('without an addon', () => {
  const root = fileURLToPath(new URL('../../', import.meta.url))
  const copy = mkdtempSync(join(tmpdir(), 'ibverbs-no-addon-'))
  for (const name of ['dist', 'package.json']) cpSync(join(root, name), join(copy, name), { recursive: true })
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
  afterAll(() => rmSync(copy, { recursive: true }))
  const run = (...args: string[]) =>
    new Running(process.execPath, [join(copy, 'dist/cli/main.js'), ...args]).finished

  test('doctor says how to build it, and that nothing works', async () => {
    const { code, stdout, stderr } = await run('doctor', '--json')
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' })
    const { ok, works, checks } = JSON.parse(stdout)
    expect({ ok, works }).toEqual({ ok: false, works: { ethernet: false, verbs: false } })
    expect(find(checks, 'addon')).toMatchObject({
      status: 'missing',
      detail: expect.stringContaining(`no addon for ${process.platform}-${process.arch}`),
      remedy: expect.stringMatching(/^Build it with: /),
    })
  })

  test.each([
    ['--help'],
    ['--version'],
    ['devices --help'],
    ['ping --help'],
    ['send --help'],
    ['dump --help'],
  ])('%s works all the same', async (line) => {
    expect(await run(...line.split(' '))).toMatchObject({ code: 0, stderr: '' })
  })

  test.each([
    ['devices', []],
    ['ping', ['localhost']],
    ['send', ['lo', 'ffffffffffff02000000000188b5']],
    ['dump', ['lo']],
  ])('%s says how to build it', async (name, args) => {
    const { code, stdout, stderr } = await run(name, ...args)
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(new RegExp(`^ibverbs ${name}: ibverbs: no addon for .*Build it with: `))
  })
})

/** Directories that stand for a machine. */
const trees: string[] = []
afterAll(() => {
  for (const tree of trees) rmSync(tree, { recursive: true })
})
function machine(files: Readonly<Record<string, string | Buffer>>): Machine {
  const root = mkdtempSync(join(tmpdir(), 'ibverbs-machine-'))
  trees.push(root)
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), content)
  }
  return new Machine(root, '6.1.0-test')
}

describe('a machine without any of the files', () => {
  test('gives checks and no exception', () => {
    const checks = [...processChecks(machine({})), ...kernelChecks(machine({}))]
    expect(find(checks, 'AF_PACKET')?.status).toBe('missing')
    expect(find(checks, 'RDMA')).toMatchObject({
      status: 'missing',
      detail: 'no module ib_uverbs for 6.1.0-test',
    })
    expect(find(checks, 'CAP_NET_RAW')?.status).toBe('warn')
    expect(find(checks, 'locked memory')?.status).toBe('warn')
  })
})

describe('process checks', () => {
  const status = (capEff: string) => ({ 'proc/self/status': `Name:\tnode\nCapEff:\t${capEff}\n` })
  const limits = (limit: string) => ({
    'proc/self/limits': `Limit                     Soft Limit           Hard Limit           Units     \nMax locked memory         ${limit}              unlimited            bytes     \n`,
  })

  test.each([
    ['0000000000002000', ['CAP_NET_RAW']],
    ['0000000000001000', ['CAP_NET_ADMIN']],
    ['0000008000000000', ['CAP_BPF']],
    ['0000000000200000', ['CAP_BPF']], // CAP_SYS_ADMIN
    ['0000000000004000', ['CAP_IPC_LOCK']],
    ['0000000000000000', []],
    ['000001ffffffffff', ['CAP_NET_RAW', 'CAP_NET_ADMIN', 'CAP_BPF', 'CAP_IPC_LOCK']],
  ])('CapEff %s holds %j', (capEff, held) => {
    const checks = processChecks(machine(status(capEff))).filter(({ name }) => name.startsWith('CAP_'))
    expect(checks.filter((check) => check.status === 'ok').map(({ name }) => name)).toEqual(held)
  })

  test('a limit on locked memory is a warning, unless CAP_IPC_LOCK lifts it', () => {
    const check = (capEff: string, limit: string) =>
      find(processChecks(machine({ ...status(capEff), ...limits(limit) })), 'locked memory')
    expect(check('0', '65536')).toMatchObject({ status: 'warn', detail: expect.stringContaining('64 KiB') })
    expect(check('4000', '65536')).toMatchObject({ status: 'ok' })
    expect(check('0', 'unlimited')).toMatchObject({ status: 'ok', detail: 'unlimited' })
  })

  test('a user namespace other than the first is a warning', () => {
    const check = (map: string) =>
      find(processChecks(machine({ 'proc/self/uid_map': map })), 'user namespace')
    expect(check('         0          0 4294967295\n')?.status).toBe('ok')
    expect(check('         0       1000          1\n')?.status).toBe('warn')
  })

  test.each([
    ['20.18.3', 'missing'],
    ['20.19.0', 'ok'],
    ['18.20.0', 'missing'],
    ['26.0.0', 'ok'],
  ])('Node %s is %s', (version, expected) => {
    expect(find(processChecks(machine({}), version), 'Node.js')?.status).toBe(expected)
  })
})

describe('kernel checks', () => {
  const check = (files: Readonly<Record<string, string | Buffer>>, name: string) =>
    find(kernelChecks(machine(files)), name)
  const dep = 'lib/modules/6.1.0-test/modules.dep'

  test('socket families are known by their protocols, or by their modules', () => {
    const protocols = 'protocol  size sockets\nPACKET    1600      0\nXDP       1088      0\n'
    expect(check({ 'proc/net/protocols': protocols }, 'AF_XDP')?.status).toBe('ok')
    expect(check({ 'proc/net/protocols': protocols.replace('XDP', 'XYZ') }, 'AF_XDP')?.status).toBe('missing')
    const module = { [dep]: 'kernel/net/packet/af_packet.ko.xz:\n' }
    expect(check(module, 'AF_PACKET')).toMatchObject({
      status: 'ok',
      detail: 'module af_packet, loaded on use',
    })
  })

  test('modprobe is the remedy for RDMA modules that are not loaded', () => {
    expect(check({ [dep]: 'kernel/drivers/infiniband/core/ib_uverbs.ko: x.ko\n' }, 'RDMA')).toMatchObject({
      status: 'missing',
      remedy: 'modprobe ib_uverbs',
    })
  })

  test('creating a device is the remedy for RDMA without one, if there is a module for it', () => {
    const loaded = { 'sys/module/ib_uverbs/version': '' }
    expect(check(loaded, 'RDMA')?.remedy).toMatch(
      /^a software ConnectX works at once: IBVERBS_SOFT=loop, softConnectX\(\) of 'ibverbs\/soft', or 'ibverbs soft -- PROGRAM'; or an RDMA NIC/,
    )
    const rxe = { ...loaded, [dep]: 'kernel/drivers/infiniband/sw/rxe/rdma_rxe.ko:\n' }
    expect(check(rxe, 'RDMA')?.remedy).toContain('rdma link add')
    expect(check(rxe, 'SoftRoCE (rdma_rxe)')?.status).toBe('ok')
  })

  test('a kernel that was built without RDMA says so', () => {
    const config = gzipSync('CONFIG_NET=y\n# CONFIG_INFINIBAND is not set\n')
    expect(check({ 'proc/config.gz': config }, 'RDMA')?.detail).toBe('not built into this kernel')
  })

  test('device nodes that this user may use are fine', () => {
    expect(check({ 'dev/infiniband/uverbs0': '' }, 'RDMA')).toMatchObject({
      status: 'ok',
      detail: '/dev/infiniband/uverbs0',
    })
  })

  test.each([
    ['proc/sys/kernel/io_uring_disabled', '2', 'io_uring', 'warn'],
    ['proc/sys/kernel/io_uring_disabled', '0', 'io_uring', 'ok'],
    ['proc/sys/kernel/unprivileged_bpf_disabled', '2', 'BPF', 'ok'],
    ['proc/sys/user/max_user_namespaces', '0', 'user namespaces', 'warn'],
    ['proc/sys/user/max_user_namespaces', '1000', 'user namespaces', 'ok'],
    [
      'sys/kernel/mm/transparent_hugepage/enabled',
      'always madvise [never]',
      'transparent huge pages',
      'warn',
    ],
    ['sys/kernel/mm/transparent_hugepage/enabled', 'always [madvise] never', 'transparent huge pages', 'ok'],
    ['proc/sys/vm/unprivileged_userfaultfd', '0', 'userfaultfd', 'ok'],
  ])('%s = %s makes %s %s', (path, content, name, status) => {
    expect(check({ [path]: `${content}\n` }, name)?.status).toBe(status)
  })

  test.each([
    ['proc/sys/kernel/unprivileged_userns_clone', '0'],
    ['proc/sys/kernel/apparmor_restrict_unprivileged_userns', '1'],
  ])('%s = %s restricts user namespaces', (path, content) => {
    const found = check({ 'proc/sys/user/max_user_namespaces': '1000', [path]: content }, 'user namespaces')
    expect(found).toMatchObject({ status: 'warn', remedy: expect.stringContaining('sysctl -w') })
  })
})

test('the version of rdma-core is in the name of its libraries', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ibverbs-library-'))
  trees.push(folder)
  writeFileSync(join(folder, 'libibverbs.so.1.14.44.0'), '')
  symlinkSync('libibverbs.so.1.14.44.0', join(folder, 'libibverbs.so.1'))
  expect(readdirSync(folder)).toHaveLength(2)
  expect(describeLibrary(join(folder, 'libibverbs.so.1'))).toBe(
    `${folder}/libibverbs.so.1.14.44.0 (rdma-core 44.0)`,
  )
  expect(describeLibrary('/nosuch/libibverbs.so.1')).toBe('/nosuch/libibverbs.so.1')
})
