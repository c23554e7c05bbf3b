/** rdma-core's and perftest's own programs, unmodified, on the software ConnectX, as `ibverbs soft` starts them. */
import { randomUUID } from 'node:crypto'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { freePort } from '../beds/free-port.js'
import { type Finished, ibverbs, main, Running, start } from '../cli/run.js'
import { mountable, ways } from './ways.js'

const macs = ['02:00:0a:00:00:01', '02:00:0a:00:00:02'] as const

const project = fileURLToPath(new URL('../..', import.meta.url))

/** The test's own temporary folder: everything left in it is the test's. */
const folder = mkdtempSync(join(tmpdir(), 'soft-programs-'))
chmodSync(folder, 0o1777)
process.env.TMPDIR = folder
afterAll(() => rmSync(folder, { recursive: true }))
const remains = () => readdirSync(folder)

function soft(wire: string, command: readonly string[]): Running {
  // Into a pipe, stdio writes when its buffer is full: stdbuf(1) makes it write each line.
  return start(['soft', '-w', wire, '--', 'stdbuf', '-oL', ...command])
}

/** Two instances of a program on the two ends of a wire; the second starts when the first has printed `ready`. */
async function pair(
  first: readonly string[],
  second: readonly string[],
  ready: RegExp,
): Promise<[Finished, Finished]> {
  const wire = join(folder, `soft-wire-${randomUUID()}`)
  const server = soft(`socket:${wire}@${macs[0]}`, first)
  await server.until(ready)
  const client = soft(`socket:${wire}@${macs[1]}`, second)
  const ends = await Promise.all([server.finished, client.finished])
  expect(existsSync(wire)).toBe(false)
  return ends
}

test('ibv_devices lists them in the order of their numbers', async () => {
  const wires = Array.from({ length: 11 }, () => 'loop').join(';')
  const { code, stdout, stderr } = await ibverbs(['soft', '-w', wires, '--', 'ibv_devices'])
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  const names = Array.from({ length: 11 }, (_, number) => `mlx5_soft${number}`)
  expect(stdout.match(/mlx5_soft\d+/g)).toEqual(names)
})

test('ibv_devinfo -v describes the device', async () => {
  const { code, stdout, stderr } = await ibverbs(['soft', '-w', `loop@${macs[0]}`, '--', 'ibv_devinfo', '-v'])
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  for (const line of [
    /^hca_id:\tmlx5_soft0$/m,
    /^\tvendor_id:\t+0x02c9$/m,
    /^\tvendor_part_id:\t+4125$/m,
    /^\tphys_port_cnt:\t+1$/m,
    /^\tatomic_cap:\t+ATOMIC_HCA \(1\)$/m,
    /^\t+RAW_IP_CSUM$/m,
    /^\thca_core_clock:\t+1000000kHZ$/m,
    /^\t\tport:\t1$/m,
    /^\t\t\tstate:\t+PORT_ACTIVE \(4\)$/m,
    /^\t\t\tactive_mtu:\t+4096 \(5\)$/m,
    /^\t\t\tmax_vl_num:\t+1 \(1\)$/m,
    /^\t\t\tlink_layer:\t+Ethernet$/m,
    /^\t\t\tGID\[ {2}0\]:\t+fe80::aff:fe00:1, RoCE v2$/m,
    /^\t\t\tGID\[ {2}1\]:\t+::ffff:10\.0\.0\.1, RoCE v2$/m,
  ]) {
    expect(stdout).toMatch(line)
  }
})

test('a device of two ports, and two devices', async () => {
  const wire = 'pair:a+pair:a;loop'
  const { stdout } = await ibverbs(['soft', '-w', wire, '--', 'ibv_devinfo'])
  const names = [...stdout.matchAll(/^hca_id:\t(\S+)$/gm)].map(([, name]) => name)
  expect(names.sort()).toEqual(['mlx5_soft0', 'mlx5_soft1'])
  const ports = [...stdout.matchAll(/^\tphys_port_cnt:\t+(\d)$/gm)].map(([, count]) => count)
  expect(ports.sort()).toEqual(['1', '2'])
})

test.skipIf(process.getuid?.() !== 0)('without privilege', async () => {
  const nobody = [
    'setpriv',
    '--reuid=65534',
    '--regid=65534',
    '--clear-groups',
    '--no-new-privs',
    '--inh-caps=-all',
  ]
  const { code, stdout, stderr } = await ibverbs(['soft', '--', ...nobody, 'ibv_devinfo'])
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(stdout).toContain('PORT_ACTIVE')
})

describe.each(['rc', 'uc', 'ud', 'srq'])('ibv_%s_pingpong between two processes', (type) => {
  const program = `ibv_${type}_pingpong`

  test.each([
    ['asleep between messages', ['-e', '-n', '200']],
    ['polling', ['-n', '20']],
  ])('%s', async (_, options) => {
    const port = String(await freePort())
    const all = [program, '-d', 'mlx5_soft0', '-g', '0', '-p', port, ...options]
    const [server, client] = await pair(all, [...all, 'localhost'], /local address/)
    for (const { code, stdout, stderr } of [server, client]) {
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      expect(stdout).toContain(`${options.at(-1)} iters in`)
    }
  })
})

describe('perftest', () => {
  // On a busy machine it finds no frequency for its cycle counter (inf), or no deviation (-nan).
  const figure = String.raw`(?:[\d.]+|inf|-?nan)`
  const tools: [string, string[]][] = [
    ['ib_send_lat', ['-n', '50']],
    // They take an event without an entry for a failure.
    ['ib_send_lat', ['-e', '-n', '50']],
    ['ib_read_lat', ['-e', '-n', '50']],
    ['ib_send_bw', ['-c', 'UD', '-n', '100', '-s', '1024']],
    ['ib_write_bw', ['-n', '100', '-s', '16384']],
    ['ib_write_lat', ['-c', 'UC', '-n', '50']],
    ['ib_read_lat', ['-n', '50']],
    ['ib_atomic_lat', ['-n', '50']],
  ]
  test.each(tools)('%s %j', async (tool, options) => {
    const port = String(await freePort())
    const all = [tool, '-d', 'mlx5_soft0', '-x', '0', '-F', '-p', port, ...options]
    const [server, client] = await pair(all, [...all, 'localhost'], /Waiting for client/)
    expect([server.code, client.code]).toEqual([0, 0])
    // One line of figures: bytes, iterations and the measurements.
    const iterations = options[options.indexOf('-n') + 1]
    expect(client.stdout).toMatch(new RegExp(`^ \\d+ +${iterations}([ \\t]+${figure}){3,}[ \\t]*$`, 'm'))
  })

  test('raw_ethernet_bw sends from a raw packet queue pair', async () => {
    const { code, stdout } = await ibverbs([
      ...['soft', '-w', `pair:a@${macs[0]};pair:a@${macs[1]}`, '--'],
      ...['raw_ethernet_bw', '-d', 'mlx5_soft0', '--client', '-B', macs[0], '-E', macs[1]],
      ...['-s', '64', '-n', '20000', '-F'],
    ])
    expect(code).toBe(0)
    expect(stdout).toMatch(new RegExp(`^ 64 +20000([ \\t]+${figure}){3}[ \\t]*$`, 'm'))
  })

  test('raw_ethernet_lat: a round trip of frames, steered by their MAC address', async () => {
    const end = (mac: string, other: string, role: string) => [
      ...['raw_ethernet_lat', '-d', 'mlx5_soft0', role, '-B', mac, '-E', other, '-s', '64', '-n', '50', '-F'],
    ]
    const [server, client] = await pair(
      end(macs[0], macs[1], '--server'),
      end(macs[1], macs[0], '--client'),
      /RawEth/,
    )
    expect([server.code, client.code]).toEqual([0, 0])
    expect(client.stdout).toMatch(new RegExp(`^ 64 +50([ \\t]+${figure}){7}[ \\t]*$`, 'm'))
  })
})

describe('ibverbs soft', () => {
  test.each(ways)(
    'by %s it is its program: status, signal, number, streams and working directory',
    async (by) => {
      const all = ['soft', '--by', by, '--']
      expect(await ibverbs([...all, 'sh', '-c', 'exit 7'])).toMatchObject({ code: 7, signal: null })
      expect(await ibverbs([...all, 'sh', '-c', 'kill -TERM $$'])).toMatchObject({ signal: 'SIGTERM' })
      const number = start([...all, 'sh', '-c', 'echo $$; pwd; cat; echo words >&2'], { input: 'input' })
      expect(await number.finished).toMatchObject({
        code: 0,
        stdout: `${number.child.pid}\n${process.cwd()}\ninput`,
        stderr: 'words\n',
      })
    },
  )

  test.each(ways)('by %s an LD_PRELOAD that was set stays in front', async (by) => {
    const env = { LD_PRELOAD: 'libm.so.6' }
    const { stdout } = await ibverbs(['soft', '--by', by, '--', 'printenv', 'LD_PRELOAD'], { env })
    expect(stdout).toMatch(/^libm\.so\.6:\/.*libibverbs_soft\.so\n$/)
  })

  test.each(ways)('by %s it has a terminal where there is one', async (by) => {
    const { stdout } = await new Running('script', [
      ...[
        '-qec',
        `${process.execPath} ${main} soft --by ${by} -- sh -c 'tty && ps -o stat= -p $$'`,
        '/dev/null',
      ],
    ]).finished
    expect(stdout).toMatch(/^\/dev\/pts\/\d+\r?\n\S*\+/) // of the terminal's foreground group
  })

  test.each(ways)('by %s it names a program that it cannot start, with a shell’s status', async (by) => {
    expect(await ibverbs(['soft', '--by', by, '--', 'no-such-program'])).toMatchObject({
      code: 127,
      stderr: 'ibverbs soft: no-such-program: No such file or directory\n',
    })
    expect(await ibverbs(['soft', '--by', by, '--', '/etc/passwd'])).toMatchObject({
      code: 126,
      stderr: 'ibverbs soft: /etc/passwd: Permission denied\n',
    })
  })

  test.skipIf(!mountable)('says its way, and why', async () => {
    const mount = await ibverbs(['soft', '-v', '--', 'true'])
    const root = process.getuid?.() === 0
    const namespace = root ? 'without a user namespace' : 'in a user namespace'
    expect(mount.stderr).toBe(`ibverbs soft: by mount: /sys is the program's own, ${namespace}\n`)
    const preload = await ibverbs(['soft', '-v', '--by', 'preload', '--', 'true'])
    expect(preload.stderr).toBe('ibverbs soft: by preload: asked for\n')
    expect(await ibverbs(['soft', '--by', 'force', '--', 'true'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("--by must be mount or preload, not 'force'"),
    })
  })

  test.skipIf(process.getuid?.() !== 0)('falls back where a mount namespace is not allowed', async () => {
    // A user namespace would take the capability away.
    const inherited = [
      'setpriv',
      '--reuid=65534',
      '--clear-groups',
      '--inh-caps=+net_raw',
      '--ambient-caps=+net_raw',
    ]
    const run = (...words: string[]) =>
      new Running(inherited[0], [...inherited.slice(1), process.execPath, main, 'soft', ...words]).finished
    const why =
      'without CAP_SYS_ADMIN it takes a user namespace, which would take the capabilities away that there are (2000)'
    expect(await run('-v', '--', 'cat', '/sys/class/infiniband/mlx5_soft0/fw_ver')).toMatchObject({
      code: 0,
      stdout: '22.35.1012\n',
      stderr: `ibverbs soft: by preload: ${why}\n`,
    })
    expect(await run('--by', 'mount', '--', 'true')).toMatchObject({
      code: 1,
      stderr: `ibverbs soft: --by mount: ${why}\n`,
    })
  })

  test('refuses a program that asks the kernel by netlink', async () => {
    const { code, stderr } = await ibverbs(['soft', '--', 'rdma', 'link'])
    expect(code).toBe(1)
    expect(stderr).toContain('rdma of iproute2 asks the kernel by netlink')
  })

  test('names the fault in a wire, and a program that is missing', async () => {
    expect(await ibverbs(['soft'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('the program is missing'),
    })
    const wrong = await ibverbs(['soft', '-w', 'pair:a', '--', 'ibv_devinfo'])
    expect(wrong.stderr).toContain('IBVERBS_SOFT=pair:a: pair:a has one port only')
  })

  test.each(['with a space', 'with:a colon', 'with$LIB'].flatMap((name) => ways.map((by) => [name, by])))(
    'works from a folder %s by %s, and leaves no link behind',
    async (name, by) => {
      const copy = join(folder, by + name, 'ibverbs')
      for (const part of [
        'dist',
        'package.json',
        'build/Release/ibverbs.node',
        'build/Release/libibverbs_soft.so',
      ]) {
        cpSync(join(project, part), join(copy, part), { recursive: true })
      }
      symlinkSync(join(project, 'node_modules'), join(copy, 'node_modules'))
      // Files of a killed program go, too: no process has that number.
      const stale = `ibverbs-preload-${2 ** 22 + 1}-x`
      mkdirSync(join(folder, stale))
      const before = remains()
      const command = new Running(process.execPath, [
        ...[join(copy, 'dist/cli/main.js'), 'soft', '-w', 'pair', '--by', by, '--'],
        // As from a program that starts another.
        ...['bash', '-c', 'ibv_devices && echo "$LD_PRELOAD"; exit 0'],
      ])
      const { code, stdout, stderr } = await command.finished
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      for (const device of ['mlx5_soft0', 'mlx5_soft1']) expect(stdout).toContain(` ${device} `)
      const link = /^\/.*libibverbs_soft\.so$/m.exec(stdout)?.[0]
      if (by === 'mount') expect(link).toBe('/sys/.libibverbs_soft.so')
      else expect(link).toMatch(`${folder}/ibverbs-preload-${command.child.pid}-`)
      const kept = by === 'mount' ? before : before.filter((each) => !each.startsWith('ibverbs-preload-'))
      expect(remains()).toEqual(kept)
      rmSync(join(folder, stale), { recursive: true, force: true })
    },
  )

  test('leaves nothing behind after its program, and cleans up after a killed one', async () => {
    const before = remains()
    for (const by of ways) {
      const killed = start(['soft', '--by', by, '--', 'stdbuf', '-oL', 'ibv_asyncwatch'])
      await killed.until(/async event FD/)
      // Mounted, the tree goes with the last process that is in the mount namespace.
      const left = by === 'mount' ? 0 : 1
      expect(remains().length).toBe(before.length + left)
      killed.child.kill('SIGKILL')
      expect((await killed.finished).signal).toBe('SIGKILL')
      expect(remains().length).toBe(before.length + left)
    }
    await ibverbs(['soft', '--by', 'preload', '--', 'ibv_devinfo'])
    expect(remains().filter((name) => !before.includes(name))).toEqual([])
  })
})
