import { describe, expect, test, vi } from 'vitest'
import { ping } from '../../dist/cli/ping/ping.js'
import { Session } from '../../dist/cli/session.js'
import { begin } from '../cli/resident.js'
import { Running } from '../cli/run.js'

// Each test starts processes, which takes seconds in the VM.
vi.setConfig({ testTimeout: 120_000 })

const types = ['rc', 'uc', 'ud'] as const
// Asleep between messages: two polling processes would alternate on the VM's one processor.
const common = ['-n', '100', '-s', '1024', '-e']

/** Our server on rxe1, on a free TCP port. */
async function listen(...args: string[]): Promise<{ server: ReturnType<typeof begin>; port: string }> {
  const server = begin(['ping', '--listen', '-p', '0', '-d', 'rxe1', ...args])
  await server.until(/on TCP port \d+/)
  return { server, port: /on TCP port (\d+)/.exec(server.stderr)?.[1] as string }
}

const client = (port: string, ...args: string[]) =>
  begin(['ping', '127.0.0.1', '-p', port, '-d', 'rxe0', ...args])

interface Result {
  type: string
  client: boolean
  samples: number
  sent: number
  received: number
  roundTrip: Record<string, number>
  half: Record<string, number>
  histogram: [number, number | null, number][]
  complete: boolean
  failure: string | null
}

function checkNumbers(result: Result, samples: number): void {
  expect(result.samples).toBe(samples)
  const { min, p50, p90, p99, 'p99.9': p999, max, mean } = result.roundTrip
  const ascending = [0, min, p50, p90, p99, p999, max]
  expect(ascending).toEqual([...ascending].sort((a, b) => a - b))
  expect(min).toBeGreaterThan(0)
  expect(mean).toBeGreaterThanOrEqual(min)
  expect(mean).toBeLessThanOrEqual(max)
  // To the nanosecond.
  expect(Math.abs(result.half.p50 - p50 / 2)).toBeLessThan(0.00051)
  expect(result.histogram.reduce((sum, [, , count]) => sum + count, 0)).toBe(samples)
}

describe.each(types)('%s, ours with ours', (type) => {
  test.each([
    ['asleep between messages', '100', ['-e']],
    ['polling', '10', []],
  ])('%s: every message arrives, and the percentiles are of every one', async (_, n, how) => {
    const args = ['-t', type, '-n', n, '-s', '1024', '--json', ...how]
    const { server, port } = await listen(...args)
    const [ours, theirs] = await Promise.all([client(port, ...args).finished, server.finished])
    expect({ client: ours.code, server: theirs.code }).toEqual({ client: 0, server: 0 })
    const results = [ours, theirs].map(({ stdout }) => JSON.parse(stdout) as Result)
    for (const result of results) {
      expect(result).toMatchObject({
        type,
        sent: Number(n),
        received: Number(n),
        complete: true,
        failure: null,
      })
    }
    expect(results.map((result) => result.client)).toEqual([true, false])
    // A tenth to warm up; the server's first message is among them, because it ends no round trip of its own.
    for (const result of results) checkNumbers(result, Number(n) * 0.9)
  })
})

describe.each(types)("%s, with rdma-core's own program", (type) => {
  const program = `ibv_${type}_pingpong`

  test(`${program} as server`, async () => {
    // It does not announce that it listens: retry until it does.
    const port = String(20000 + types.indexOf(type))
    const server = new Running(program, ['-d', 'rxe1', '-g', '0', '-p', port, ...common])
    let ours = await client(port, '-t', type, '--json', ...common).finished
    while (ours.stderr.includes('nothing listens')) {
      ours = await client(port, '-t', type, '--json', ...common).finished
    }
    expect(ours).toMatchObject({ code: 0 })
    const result = JSON.parse(ours.stdout) as Result
    expect(result).toMatchObject({ type, client: true, sent: 100, received: 100, complete: true })
    checkNumbers(result, 90)
    const theirs = await server.finished
    expect(theirs).toMatchObject({ code: 0, stderr: '' })
    expect(theirs.stdout).toMatch(/^204800 bytes in .*\n100 iters in /m)
  })

  test(`${program} as client`, async () => {
    const { server, port } = await listen('-t', type, '--json', ...common)
    const theirs = await new Running(program, ['-d', 'rxe0', '-g', '0', '-p', port, ...common, '127.0.0.1'])
      .finished
    expect(theirs).toMatchObject({ code: 0, stderr: '' })
    expect(theirs.stdout).toMatch(/^204800 bytes in .*\n100 iters in /m)
    const ours = await server.finished
    expect(ours.code).toBe(0)
    const result = JSON.parse(ours.stdout) as Result
    expect(result).toMatchObject({ type, client: false, sent: 100, received: 100, complete: true })
    checkNumbers(result, 90)
  })
})

describe('with the defaults of rdma-core on both sides', () => {
  test('messages of 4096 bytes in packets of 1024', async () => {
    const { server, port } = await listen('-n', '50', '-e', '--warmup', '10')
    const theirs = await new Running('ibv_rc_pingpong', [
      '-d',
      'rxe0',
      '-g',
      '0',
      '-p',
      port,
      '-n',
      '50',
      '-e',
      '127.0.0.1',
    ]).finished
    expect(theirs.stdout).toMatch(/^409600 bytes in /m)
    expect((await server.finished).stdout).toContain(
      'RC ping-pong on rxe1: 40 round trips of 4096 bytes, asleep between messages, after 10 to warm up',
    )
  })
})

describe('the readable report', () => {
  test('has a table, a histogram and the total', async () => {
    const { server, port } = await listen(...common)
    const { code, stdout } = await client(port, ...common).finished
    await server.finished
    expect(code).toBe(0)
    expect(stdout).toMatch(
      /^RC ping-pong on rxe0: 90 round trips of 1024 bytes, asleep between messages, after 10 to warm up\nFrom one message's arrival to the next one's, by this program's clock, when it has seen the completion of a receive:\nµs +min +p50 +p90 +p99 +p99\.9 +max +mean\nround trip( +\d+\.\d\d){7}\nhalf( +\d+\.\d\d){7}\n\nRound trips by µs:\n/,
    )
    const counts = [...stdout.matchAll(/^(?:≥)? *[\d.]+ +(\d+)(?: +[▏▎▍▌▋▊▉█]+)?$/gm)].map((row) =>
      Number(row[1]),
    )
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(90)
    expect(stdout).toMatch(/\n\d+\.\d{3} s, [\d.]+ Mbit\/s both ways together\n$/)
  })
})

describe('failures', () => {
  test('no listener', async () => {
    const { code, stdout, stderr } = await client('9').finished
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toBe(
      "ibverbs ping: nothing listens on 127.0.0.1:9; start 'ibverbs ping --listen' there first\n",
    )
  })

  test('messages larger than the peer expects', async () => {
    const { server, port } = await listen('-s', '512', '-e')
    const ours = await client(port, '-s', '1024', '-e').finished
    const theirs = await server.finished
    expect({ ours: ours.code, theirs: theirs.code }).toEqual({ ours: 1, theirs: 1 })
    expect(ours.stderr).toMatch(/the send failed with (REM_OP_ERR|REM_INV_REQ_ERR) /)
    for (const { stderr } of [ours, theirs]) expect(stderr).toContain('give both sides the same -s\n')
    expect(theirs.stderr).toMatch(/the receive failed with (LOC_QP_OP_ERR|LOC_LEN_ERR) /)
  })

  test.each([
    [
      'datagrams larger than the MTU',
      ['-t', 'ud', '-s', '1025'],
      "--size 1025 is more than a datagram holds: the port's MTU is 1024",
    ],
    ['a path MTU that the port does not have', ['-m', '2048'], '--mtu 2048 is more than the port has: 1024'],
    ['a GID index that is not there', ['-g', '200'], /port 1 of rxe0 has no GID at index 200/],
    [
      'a GID index that is not there, before a client is waited for',
      ['--listen', '-g', '200'],
      /^--gid-index 200: port 1 of rxe0 has no GID at index 200: there are 0/,
    ],
    ['a port that is not there', ['-i', '2'], '--ib-port 2: rxe0 has 1 port'],
    ['a device that is not there', ['-d', 'rxe7'], /no device "rxe7": there are rxe0, rxe1/],
  ])('%s', async (_, args, message) => {
    // In this process: a new one takes seconds in the VM.
    const host = args.includes('--listen') ? [] : ['127.0.0.1']
    await expect(ping.run([...host, '-d', 'rxe0', ...args], new Session())).rejects.toThrow(message)
  })

  test('a peer without a GID', async () => {
    const { server, port } = await listen()
    await new Running('ibv_rc_pingpong', ['-d', 'rxe0', '-p', port, '127.0.0.1']).finished
    const { code, stderr } = await server.finished
    expect(code).toBe(1)
    expect(stderr).toContain('the peer has no GID, and Ethernet routes by nothing else: give it -g INDEX')
  })

  test.each(types)('%s: a peer that dies is an error in time, with what was measured', async (type) => {
    const args = ['-t', type, '-n', '1000000', '-s', '64', '-e', '--timeout', '2']
    const { server, port } = await listen(...args)
    const ours = client(port, ...args)
    await ours.until(/^remote: /m)
    server.child.kill('SIGKILL')
    const { code, stdout, stderr } = await ours.finished
    expect(code).toBe(1)
    // RC learns it from its own retries, unless the peer died between its acknowledgement and its answer.
    if (type === 'rc') expect(stderr).toMatch(/failed with RETRY_EXC_ERR|no message from the peer for 2 s/)
    else expect(stderr).toContain('no message from the peer for 2 s')
    expect(stdout).toMatch(/ping-pong on rxe0: \d+ of 1000000 round trips/)
    expect((await server.finished).signal).toBe('SIGKILL')
  })

  test.each([
    ['asleep', ['-e']],
    ['polling', []],
  ])('Ctrl-C, %s: what was measured so far, and exit code 130', async (_, how) => {
    const args = ['-n', '1000000', '-s', '64', '--timeout', '2', '--json', ...how]
    const { server, port } = await listen(...args)
    const ours = client(port, ...args)
    await ours.until(/^remote: /m)
    ours.child.kill('SIGINT')
    const { code, stdout, stderr } = await ours.finished
    expect(code).toBe(130)
    expect(stderr).not.toContain('ibverbs ping:')
    expect(JSON.parse(stdout)).toMatchObject({ interrupted: true, complete: false, failure: null })
    expect((await server.finished).code).toBe(1)
  })

  test('Ctrl-C while the server waits', async () => {
    const { server } = await listen()
    server.child.kill('SIGINT')
    const { code, stdout, stderr } = await server.finished
    expect({ code, stdout }).toEqual({ code: 130, stdout: '' })
    expect(stderr).toMatch(/^rxe1: waiting for a client on TCP port \d+\n$/)
  })

  test('a TCP port in use', async () => {
    const { server, port } = await listen()
    const { code, stderr } = await begin(['ping', '--listen', '-p', port, '-d', 'rxe0']).finished
    expect(code).toBe(1)
    expect(stderr).toContain('EADDRINUSE')
    server.child.kill('SIGINT')
    await server.finished
  })
})
