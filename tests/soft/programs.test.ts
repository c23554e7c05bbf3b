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
import { execFileSync } from '../beds/child.js'
import { freePort } from '../beds/free-port.js'
import { type Finished, ibverbs, Running, start } from '../cli/run.js'

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
  test('exits with its program’s status', async () => {
    expect((await ibverbs(['soft', '--', 'sh', '-c', 'exit 7'])).code).toBe(7)
    expect((await ibverbs(['soft', '--', 'sh', '-c', 'kill -TERM $$'])).code).toBe(143)
  })

  test('names a program that it cannot start, and the fault in a wire', async () => {
    expect(await ibverbs(['soft'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('the program is missing'),
    })
    expect(await ibverbs(['soft', '--', 'no-such-program'])).toMatchObject({
      code: 1,
      stderr: 'ibverbs soft: no-such-program: spawn no-such-program ENOENT\n',
    })
    const wrong = await ibverbs(['soft', '-w', 'pair:a', '--', 'ibv_devinfo'])
    expect(wrong.stderr).toContain('IBVERBS_SOFT=pair:a: pair:a has one port only')
  })

  test.each(['with a space', 'with:a colon', 'with$LIB'])(
    'works from a folder %s, and leaves no link behind',
    async (name) => {
      const copy = join(folder, name, 'ibverbs')
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
      mkdirSync(join(folder, `ibverbs-preload-${2 ** 22 + 1}-x`))
      const before = remains()
      const command = new Running(process.execPath, [
        ...[join(copy, 'dist/cli/main.js'), 'soft', '-w', 'pair', '--'],
        // As from a program that starts another.
        ...['sh', '-c', 'ibv_devices && echo "$LD_PRELOAD" && ls -d "$TMPDIR"/ibverbs-preload-*'],
      ])
      const { code, stdout, stderr } = await command.finished
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      for (const device of ['mlx5_soft0', 'mlx5_soft1']) expect(stdout).toContain(` ${device} `)
      const [link, there] = stdout.trimEnd().split('\n').slice(-2)
      expect(link).toBe(`${there}/libibverbs_soft.so`)
      expect(remains()).toEqual(before.filter((each) => !each.startsWith('ibverbs-preload-')))
    },
  )

  test('leaves nothing behind after its program, and cleans up after a killed one', async () => {
    const before = remains()
    const killed = soft('loop', ['ibv_asyncwatch'])
    await killed.until(/async event FD/)
    expect(remains().length).toBe(before.length + 1)
    // The program itself, not the command that waits for it.
    execFileSync('pkill', ['-KILL', '-P', String(killed.child.pid)])
    expect((await killed.finished).code).toBe(137)
    expect(remains().length).toBe(before.length + 1)
    await ibverbs(['soft', '--', 'ibv_devinfo'])
    expect(remains().filter((name) => !before.includes(name))).toEqual([])
  })
})
