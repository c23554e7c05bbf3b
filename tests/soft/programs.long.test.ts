/**
 * Programs that bring big packages, unmodified, on the software ConnectX: what each does, and what is refused to it, is in
 * programs.md, row by row as here.
 */
import { randomUUID } from 'node:crypto'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { execFileSync } from '../beds/child.js'
import { freePort } from '../beds/free-port.js'
import { type Finished, main, Running, start } from '../cli/run.js'
import { ways } from './ways.js'

const folder = mkdtempSync(join(tmpdir(), 'soft-programs-long-'))
afterAll(() => rmSync(folder, { recursive: true }))

const macs = ['02:00:0a:00:00:01', '02:00:0a:00:00:02'] as const
const options = { timeout: 10 * 60_000 }

/** Says which package a program is of, where it is not there. */
function needed(command: string, debian: string): string {
  try {
    return execFileSync('sh', ['-c', `command -v ${command}`], { encoding: 'utf8' }).trim()
  } catch {
    throw new Error(`${command} is missing: apt-get install --no-install-recommends ${debian}`)
  }
}

/** Two instances on the two ends of a wire; the second starts when the first listens. */
async function ends(
  first: readonly string[],
  second: readonly string[],
  port: number,
  env: NodeJS.ProcessEnv = {},
): Promise<[Finished, Finished]> {
  const wire = join(folder, `wire-${randomUUID()}`)
  const words = ['stdbuf', '-oL']
  const server = start(['soft', '-w', `socket:${wire}@${macs[0]}`, '--', ...words, ...first], { env })
  await listening(port, server)
  const client = start(['soft', '-w', `socket:${wire}@${macs[1]}`, '--', ...words, ...second], { env })
  const both = await Promise.all([server.finished, client.finished])
  expect(existsSync(wire)).toBe(false)
  return both
}

/** Until somebody listens on a TCP port (proc_net(5)); it ends with the server, which then says why. */
async function listening(port: number, server: Running): Promise<void> {
  const line = new RegExp(`:${port.toString(16).toUpperCase().padStart(4, '0')} \\S+ 0A `)
  const tables = () => execFileSync('cat', ['/proc/net/tcp', '/proc/net/tcp6'], { encoding: 'utf8' })
  let ended: Finished | undefined
  server.finished.then((end) => {
    ended = end
  })
  while (!line.test(tables())) {
    if (ended !== undefined) throw new Error(`ended before it listened: ${ended.stdout}${ended.stderr}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

describe('UCX', () => {
  const transports = ['rc_verbs', 'rc_mlx5', 'ud_verbs', 'ud_mlx5']

  test.each(ways)('ucx_info -d by %s: all its transports find the device', options, async (by) => {
    needed('ucx_info', 'ucx-utils')
    const { code, stdout } = await start(['soft', '--by', by, '--', 'ucx_info', '-d']).finished
    expect(code).toBe(0)
    const found = [...stdout.matchAll(/Transport: (\S+)\n#\s+Device: mlx5_soft0:1\n/g)].map(
      ([, name]) => name,
    )
    expect(found.sort()).toEqual(transports.toSorted())
  })

  // rc_v and rc_x bring the datagrams that they are connected by.
  test.each(['rc_v', 'rc_x', 'ud_v', 'ud_x'])('ucx_perftest over %s', options, async (transport) => {
    const perftest = needed('ucx_perftest', 'ucx-utils')
    const port = await freePort()
    const env = { UCX_TLS: `${transport},self`, UCX_NET_DEVICES: 'mlx5_soft0:1', UCX_LOG_LEVEL: 'warn' }
    const words = ['-t', 'tag_lat', '-s', '8192', '-n', '100', '-w', '10']
    const all = [perftest, '-p', String(port)]
    const [server, client] = await ends(all, [...all, ...words, 'localhost'], port, env)
    for (const end of [server, client]) {
      expect(end).toMatchObject({ code: 0 })
      expect(end.stdout + end.stderr).not.toMatch(/ERROR|WARN/)
    }
    expect(client.stdout).toMatch(/^Final: +100 /m)
  })
})

describe('OpenMPI over UCX', () => {
  const ring = join(folder, 'ring')
  beforeAll(() => {
    needed('mpirun', 'openmpi-bin')
    execFileSync(needed('mpicc', 'libopenmpi-dev'), [
      '-o',
      ring,
      join(import.meta.dirname, 'programs/ring.c'),
    ])
  })

  test.each(['rc_v', 'rc_x', 'ud_v', 'ud_x'])(
    '%s: every byte of every rank is right',
    options,
    async (transport) => {
      const wire = join(folder, `wire-${randomUUID()}`)
      const root = process.getuid?.() === 0 ? ['--allow-run-as-root'] : []
      const { code, stdout, stderr } = await new Running('mpirun', [
        ...[...root, '--oversubscribe', '-n', '2', '--mca', 'pml', 'ucx', '--mca', 'osc', 'ucx'],
        ...['--mca', 'btl', 'self', '-x', `UCX_TLS=${transport},self`, '-x', 'UCX_NET_DEVICES=mlx5_soft0:1'],
        // A card each, at the two ends of a wire.
        ...[process.execPath, main, 'soft', '-w', `socket:${wire}`, '--', ring],
      ]).finished
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      expect(stdout.trim().split('\n').sort()).toEqual(['rank 0 of 2: 0 wrong', 'rank 1 of 2: 0 wrong'])
    },
  )
})

describe('libfabric', () => {
  test('fi_info finds the provider with each of its endpoints', options, async () => {
    needed('fi_info', 'libfabric-bin')
    const { code, stdout } = await start(['soft', '--', 'fi_info', '-p', 'verbs']).finished
    expect(code).toBe(0)
    const found = [...stdout.matchAll(/provider: (\S+)\n.*\n {4}domain: (\S+)\n.*\n {4}type: (\S+)/g)]
    expect(found.map(([, ...words]) => words.join(' '))).toEqual([
      'verbs mlx5_soft0 FI_EP_MSG',
      'verbs mlx5_soft0-dgram FI_EP_DGRAM',
      'verbs;ofi_rxd mlx5_soft0-dgram FI_EP_RDM',
    ])
  })

  test.each([64, 65536])('fi_pingpong over rxd, %i bytes, which checks the data', options, async (size) => {
    const pingpong = needed('fi_pingpong', 'libfabric-bin')
    const port = await freePort()
    const all = [pingpong, '-p', 'verbs;ofi_rxd', '-e', 'rdm', '-c', '-I', '50', '-S', String(size)]
    const client = [...all, '-P', String(port), 'localhost']
    for (const end of await ends([...all, '-B', String(port)], client, port)) {
      expect(end).toMatchObject({ code: 0, stderr: '' })
      expect(end.stdout).toMatch(/^\S+ +50 +=50 /m)
    }
  })

  test('fi_pingpong with datagrams of its own asks for rdma_cm: refused', options, async () => {
    const pingpong = needed('fi_pingpong', 'libfabric-bin')
    const port = await freePort()
    const all = [pingpong, '-p', 'verbs', '-e', 'dgram', '-S', '64', '-I', '5']
    const [server] = await ends([...all, '-B', String(port)], [...all, '-P', String(port), 'localhost'], port)
    expect(server.stdout + server.stderr).toContain(
      'fi_eq_open(): util/pingpong.c:1409, ret=-2 (No such file or directory)',
    )
  })
})

describe("DPDK's mlx5 driver", () => {
  const words = ['--no-huge', '-m', '512', '--no-telemetry', '--no-shconf', '-l', '0,1']
  const peer = `
import socket, sys
peer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88b5))
peer.bind(('soft1', 0x88b5))
peer.settimeout(5)
card, own = bytes.fromhex('02000a000001'), bytes.fromhex('02000a000002')
right = 0
for i in range(500):
  payload = bytes((i * 7 + k * 13) & 255 for k in range(46 + i % 1400))
  peer.send(card + own + b'\\x88\\xb5' + payload)
  while True:
    frame = peer.recv(2048)
    if frame[:6] == own: break
  right += frame == own + card + b'\\x88\\xb5' + payload
print(right, 'right')
`
  /** testpmd swaps the addresses of what comes; the peer, a program of the kernel's on the other end, checks every byte. */
  async function swap(devargs: string): Promise<{ stdout: string; stderr: string }> {
    const testpmd = needed('dpdk-testpmd', 'dpdk-dev')
    const command = `
      ip link add soft0 address 02:00:0a:00:00:01 type veth peer name soft1 address 02:00:0a:00:00:02
      # The kernel's own frames (MLD, neighbour discovery) are not counted with the peer's.
      for i in soft0 soft1; do echo 1 > /proc/sys/net/ipv6/conf/$i/disable_ipv6; ip link set $i up; done
      mkfifo "$RUNTIME_DIRECTORY/words"
      "$0" "$1" soft -w interface:soft0 -- stdbuf -oL ${testpmd} ${words.join(' ')} -a 0000:e1:00.0${devargs} \\
        -- -i --total-num-mbufs=4096 --no-mlockall --forward-mode=macswap <"$RUNTIME_DIRECTORY/words" \\
        >"$RUNTIME_DIRECTORY/said" 2>&1 &
      exec 3>"$RUNTIME_DIRECTORY/words"
      printf 'start\\n' >&3
      # Up to the answer, or to the end of a program that cannot.
      until grep -qE 'nb forwarding ports|Not all ports were started' "$RUNTIME_DIRECTORY/said" || ! kill -0 $!; do sleep 0.1; done
      grep -q 'Not all ports were started' "$RUNTIME_DIRECTORY/said" || python3 -c "$2"
      printf 'stop\\nquit\\n' >&3
      wait $!
      cat "$RUNTIME_DIRECTORY/said"`
    const net = process.getuid?.() === 0 ? ['--net'] : ['--map-root-user', '--net']
    // Without a folder of its own, DPDK leaves an empty one in /run.
    const run = new Running('unshare', [...net, 'sh', '-c', command, process.execPath, main, peer], {
      env: { RUNTIME_DIRECTORY: mkdtempSync(join(folder, 'dpdk-')) },
    })
    return run.finished
  }

  test.each([
    ['its defaults but for flow rules', ',class=eth,dv_flow_en=0'],
    ['neither vectors nor compressed completions', ',class=eth,dv_flow_en=0,rx_vec_en=0,rxq_cqe_comp_en=0'],
  ])('testpmd with %s', options, async (_, devargs) => {
    const { stdout } = await swap(devargs)
    expect(stdout).toContain('500 right\n')
    expect(stdout).toMatch(/RX-packets: 500 +RX-dropped: 0 +RX-total: 500/)
    expect(stdout).toMatch(/TX-packets: 500 +TX-dropped: 0 +TX-total: 500/)
  })

  test.each(['', ',class=eth,dv_flow_en=1'])(
    'testpmd with direct rules (%j), which need DEVX: refused',
    options,
    async (devargs) => {
      const { stdout } = await swap(devargs)
      expect(stdout).toContain('mlx5_net: port 0 failed to set defaults flows')
      expect(stdout).not.toContain('right')
    },
  )
})
