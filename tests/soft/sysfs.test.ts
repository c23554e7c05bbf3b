/** What sysfs says of the software devices, to whoever asks in whichever way. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { execFileSync } from '../beds/child.js'
import { freePort } from '../beds/free-port.js'
import { node } from '../beds/process.js'
import { ibverbs } from '../cli/run.js'
import { mountable, ways } from './ways.js'

const folder = mkdtempSync(join(tmpdir(), 'soft-sysfs-'))
afterAll(() => rmSync(folder, { recursive: true }))

const wires = ['-w', 'pair:a@02:00:0a:00:00:01+pair:a@02:00:0a:00:00:02', '-w', 'loop@02:00:0a:00:00:03']

// The PCI addresses are the first that this machine has free.
const first = '0000:e1:00.0'
const pci = `/sys/devices/pci0000:e1/${first}`
const card = `${pci}/infiniband/mlx5_soft0`

/** Path by path what the kernel's own tree of a ConnectX-6 Dx says in the same words (a link by its text, a file whole). */
const links: Readonly<Record<string, string>> = {
  '/sys/class/infiniband/mlx5_soft0': `../../devices/pci0000:e1/${first}/infiniband/mlx5_soft0`,
  '/sys/class/infiniband_verbs/uverbs_soft0': `../../devices/pci0000:e1/${first}/infiniband_verbs/uverbs_soft0`,
  '/sys/class/infiniband_mad/umad_soft0_2': `../../devices/pci0000:e1/${first}/infiniband_mad/umad_soft0_2`,
  '/sys/class/infiniband/mlx5_soft0/device': `../../../${first}`,
  '/sys/class/infiniband/mlx5_soft0/subsystem': '../../../../../class/infiniband',
  '/sys/class/infiniband_verbs/uverbs_soft0/device': `../../../${first}`,
  [`/sys/bus/pci/devices/${first}`]: `../../../devices/pci0000:e1/${first}`,
  [`/sys/bus/pci/drivers/mlx5_core/${first}`]: `../../../../devices/pci0000:e1/${first}`,
  [`${pci}/driver`]: '../../../bus/pci/drivers/mlx5_core',
  [`${pci}/subsystem`]: '../../../bus/pci',
}
const files: Readonly<Record<string, string>> = {
  '/sys/class/infiniband_verbs/abi_version': '6\n',
  '/sys/class/infiniband_mad/abi_version': '5\n',
  '/sys/class/infiniband/mlx5_soft0/node_guid': '0200:0a03:0000:0001\n',
  '/sys/class/infiniband/mlx5_soft1/node_guid': '0200:0a03:0000:0003\n',
  '/sys/class/infiniband/mlx5_soft0/hca_type': 'MT4125\n',
  '/sys/class/infiniband/mlx5_soft0/fw_ver': '22.35.1012\n',
  '/sys/class/infiniband/mlx5_soft0/board_id': 'MT_0000000359\n',
  '/sys/class/infiniband/mlx5_soft0/node_type': '1: CA\n',
  '/sys/class/infiniband/mlx5_soft0/ports/2/state': '4: ACTIVE\n',
  '/sys/class/infiniband/mlx5_soft0/ports/2/phys_state': '5: LinkUp\n',
  '/sys/class/infiniband/mlx5_soft0/ports/2/rate': '100 Gb/sec (4X EDR)\n',
  '/sys/class/infiniband/mlx5_soft0/ports/2/link_layer': 'Ethernet\n',
  '/sys/class/infiniband/mlx5_soft0/ports/2/cap_mask': '0x04010000\n',
  '/sys/class/infiniband/mlx5_soft0/ports/2/pkeys/0': '0xffff\n',
  '/sys/class/infiniband/mlx5_soft0/ports/2/gids/0': 'fe80:0000:0000:0000:0000:0aff:fe00:0002\n',
  '/sys/class/infiniband/mlx5_soft0/ports/2/gids/1': '0000:0000:0000:0000:0000:ffff:0a00:0002\n',
  '/sys/class/infiniband/mlx5_soft0/ports/2/gid_attrs/types/1': 'RoCE v2\n',
  '/sys/class/infiniband/mlx5_soft0/device/vendor': '0x15b3\n',
  '/sys/class/infiniband/mlx5_soft0/device/device': '0x101d\n',
  '/sys/class/infiniband/mlx5_soft0/device/class': '0x020000\n',
  '/sys/class/infiniband/mlx5_soft0/device/numa_node': '-1\n',
  '/sys/class/infiniband/mlx5_soft0/device/modalias':
    'pci:v000015B3d0000101Dsv000015B3sd00000083bc02sc00i00\n',
  '/sys/class/infiniband/mlx5_soft0/device/uevent':
    'DRIVER=mlx5_core\nPCI_CLASS=20000\nPCI_ID=15B3:101D\nPCI_SUBSYS_ID=15B3:0083\n' +
    `PCI_SLOT_NAME=${first}\nMODALIAS=pci:v000015B3d0000101Dsv000015B3sd00000083bc02sc00i00\n`,
  '/sys/class/infiniband/mlx5_soft0/uevent': 'NAME=mlx5_soft0\n',
  '/sys/class/infiniband_verbs/uverbs_soft1/dev': '231:193\n',
  '/sys/class/infiniband_verbs/uverbs_soft1/ibdev': 'mlx5_soft1\n',
  '/sys/class/infiniband_verbs/uverbs_soft1/abi_version': '1\n',
  '/sys/class/infiniband_verbs/uverbs_soft1/uevent':
    'MAJOR=231\nMINOR=193\nDEVNAME=infiniband/uverbs_soft1\nDEVMODE=0666\n',
  '/sys/class/infiniband_mad/umad_soft0_2/port': '2\n',
  // From where its link leads, as everywhere in sysfs.
  '/sys/class/infiniband/mlx5_soft0/../../infiniband_verbs/uverbs_soft0/ibdev': 'mlx5_soft0\n',
  [`${pci}/infiniband/mlx5_soft0/node_desc`]: 'software ConnectX\n',
}

const script = `
import json, os, sys
links, files = json.loads(sys.argv[1])
print(json.dumps({
  'links': {path: os.readlink(path) for path in links},
  'files': {path: open(path).read() for path in files},
  'real': os.path.realpath('/sys/class/infiniband/mlx5_soft0'),
  'listed': [os.listdir('/sys/class/' + name) for name in ('infiniband', 'infiniband_verbs', 'infiniband_mad')],
  'type': oct(os.stat('/sys/class/infiniband/mlx5_soft0').st_mode),
  'machine': sorted(os.listdir('/sys/class/net')) + sorted(os.listdir('/sys/bus/pci/devices')),
  'config': open('/sys/bus/pci/devices/${first}/config', 'rb').read(64).hex(),
}))`
const arguments_ = ['-c', script, JSON.stringify([Object.keys(links), Object.keys(files)])]

/** Directory entries of the machine itself, which stay visible. */
const machine = () => {
  const list =
    "import os; print(*(sorted(os.listdir('/sys/class/net')) + sorted(os.listdir('/sys/bus/pci/devices'))))"
  return execFileSync('python3', ['-c', list]).toString().trim().split(' ')
}

describe.each(ways)('by %s', (by) => {
  test('every file and link of it is as the kernel has them', async () => {
    const { code, stdout, stderr } = await ibverbs([
      'soft',
      '--by',
      by,
      ...wires,
      '--',
      'python3',
      ...arguments_,
    ])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const seen = JSON.parse(stdout)
    expect(seen.links).toEqual(links)
    expect(seen.files).toEqual(files)
    expect(seen.real).toBe(card)
    expect(seen.type).toBe('0o40755')
    for (const device of ['mlx5_soft0', 'mlx5_soft1']) expect(seen.listed[0]).toContain(device)
    for (const file of ['abi_version', 'uverbs_soft0', 'uverbs_soft1']) expect(seen.listed[1]).toContain(file)
    for (const file of ['umad_soft0', 'umad_soft0_2', 'umad_soft1']) expect(seen.listed[2]).toContain(file)
    expect(seen.machine).toEqual(expect.arrayContaining([...machine(), first, '0000:e2:00.0']))
    // Little-endian: vendor, device, command, status, revision and class; header type 0; subsystem
    expect(seen.config).toMatch(/^b3151d10060000000000000200000000/)
    expect(seen.config.slice(2 * 0x2c, 2 * 0x30)).toBe('b3158300')
  })

  test('all programs of one `ibverbs soft` see one card', async () => {
    const command =
      'for i in 1 2; do cat /sys/class/infiniband/*/node_guid; ibv_devinfo | grep node_guid; done'
    const { stdout } = await ibverbs(['soft', '--by', by, '--', 'bash', '-c', command])
    const guids = stdout.match(/[\da-f]{4}(:[\da-f]{4}){3}/g)
    expect(guids).toHaveLength(4)
    expect(new Set(guids).size).toBe(1)
  })

  test('a second process beside one that has the card gets a card of its own, or the two could not talk', async () => {
    const wire = join(folder, `wire-${by}`)
    const port = await freePort()
    const end = `ibv_rc_pingpong -g 0 -n 20 -p ${port}`
    // A client that came too early would be a third process, with an address of its own. No event says that the server
    // listens: it prints its address before, and the kernel tells of sockets' ends alone (sock_diag(7)).
    const ends = `${end} & until ss -Hltn sport = :${port} | grep -q .; do sleep 0.1; done; ${end} localhost; wait`
    const { code, stdout } = await ibverbs([
      'soft',
      '--by',
      by,
      '-w',
      `socket:${wire}`,
      '--',
      'bash',
      '-c',
      ends,
    ])
    expect(code).toBe(0)
    expect(stdout.match(/20 iters in/g)).toHaveLength(2)
    expect(
      new Set(stdout.match(/local address: .*(GID \S+)/g)?.map((line) => line.split('GID ')[1])).size,
    ).toBe(2)
  })

  test('libibverbs finds it where SYSFS_PATH sends it elsewhere', async () => {
    const all = ['soft', '--by', by, ...wires, '--', 'ibv_devices']
    const { code, stdout } = await ibverbs(all, { env: { SYSFS_PATH: join(folder, 'no-such-sysfs') } })
    expect(code).toBe(0)
    expect(stdout.match(/mlx5_soft\d/g)).toEqual(['mlx5_soft0', 'mlx5_soft1'])
  })

  test('what reads it takes no seat at a wire', async () => {
    const { code, stderr } = await ibverbs([
      ...['soft', '--by', by, '-w', 'interface:no-carrier-here', '--'],
      ...['bash', '-c', 'cat /sys/class/infiniband/mlx5_soft0/node_guid ; true'],
    ])
    expect({ code, stderr }).toMatchObject({ code: by === 'mount' ? 1 : 0 })
    expect(stderr).toContain('interface no-carrier-here: No such device')
    const wire = join(folder, `quiet-${by}`)
    const quiet = await ibverbs([
      ...['soft', '--by', by, '-w', `socket:${wire}`, '--'],
      ...['bash', '-c', `ibstat -l && cat /sys/class/infiniband/mlx5_soft0/fw_ver && ls ${wire}*`],
    ])
    expect(quiet.stdout).toBe('mlx5_soft0\n22.35.1012\n')
    expect(quiet.code).toBe(2)
  })

  test('ibstat and ibstatus, which read it themselves', async () => {
    const stat = await ibverbs(['soft', '--by', by, ...wires, '--', 'ibstat', 'mlx5_soft0', '2'])
    expect(stat).toMatchObject({ code: 0, stderr: '' })
    expect(stat.stdout).toMatch(/State: Active\n\s*Physical state: LinkUp\n\s*Rate: 100\n/)
    expect(stat.stdout).toMatch(/Capability mask: 0x04010000\n\s*Port GUID: 0x00000afffe000002\n/)
    const status = await ibverbs(['soft', '--by', by, ...wires, '--', 'ibstatus'])
    expect(status).toMatchObject({ code: 0, stderr: '' })
    expect(status.stdout.match(/Infiniband device '(\S+)' port (\d) status:/g)).toEqual([
      "Infiniband device 'mlx5_soft0' port 1 status:",
      "Infiniband device 'mlx5_soft0' port 2 status:",
      "Infiniband device 'mlx5_soft1' port 1 status:",
    ])
  })
})

describe('a program that is linked statically', () => {
  const program = join(folder, 'static')
  beforeAll(() => {
    const source = join(folder, 'static.c')
    writeFileSync(
      source,
      `#include <errno.h>
       #include <fcntl.h>
       #include <stdio.h>
       #include <string.h>
       int main(void) {
         char words[64] = "nothing";
         FILE *file = fopen("/sys/class/infiniband/mlx5_soft0/device/vendor", "r");
         if (file) fgets(words, sizeof words, file);
         printf("%s", words);
         printf("%s", open("/dev/infiniband/uverbs_soft0", O_RDWR) < 0 ? strerror(errno) : "open");
         return 0;
       }`,
    )
    execFileSync('gcc', ['-static', '-o', program, source])
  })

  test.skipIf(!mountable)(
    'reads the tree where it is mounted, and is told that it cannot command the device',
    async () => {
      const { code, stdout } = await ibverbs(['soft', '--by', 'mount', '--', program])
      expect({ code, stdout }).toEqual({ code: 0, stdout: '0x15b3\nNo such file or directory' })
    },
  )

  test('sees nothing of it by LD_PRELOAD alone', async () => {
    const { stdout } = await ibverbs(['soft', '--by', 'preload', '--', program])
    expect(stdout).toBe('nothingNo such file or directory')
  })
})

test('in a process that loads it, the verbs libraries see it and nobody else', async () => {
  const { stdout, stderr } = await node(
    `import { softConnectX } from 'ibverbs/soft'
     import { listDevices } from 'ibverbs'
     import { existsSync } from 'node:fs'
     const soft = softConnectX()
     console.log(listDevices().length > 0, existsSync('/sys/class/infiniband/mlx5_soft0'))
     soft.close()`,
    {},
  )
  expect({ stdout, stderr }).toEqual({ stdout: 'true false\n', stderr: '' })
})
