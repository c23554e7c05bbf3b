import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { ibverbs, main, Running, start } from './run.js'

const commands = [
  'devices',
  'ping',
  'send',
  'dump',
  'generate',
  'forward',
  'reflect',
  'explain',
  'selftest',
  'soft',
  'doctor',
]

describe('help', () => {
  test.each([['--help'], ['-h'], ['help']])(
    'ibverbs %s lists every command on standard output, and exits with 0',
    async (arg) => {
      const { code, stdout, stderr } = await ibverbs([arg])
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      for (const name of commands) expect(stdout).toMatch(new RegExp(`^ {2}${name} +\\S`, 'm'))
    },
  )

  test('no command: the same on standard error, and exit code 2', async () => {
    const { code, stdout, stderr } = await ibverbs([])
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain('Usage: ibverbs COMMAND [OPTIONS]')
  })

  test.each(commands)(
    'ibverbs %s --help, -h and ibverbs help %s are the same text, with exit code 0',
    async (name) => {
      const [long, short, word] = await Promise.all([
        ibverbs([name, '--help']),
        ibverbs([name, '-h']),
        ibverbs(['help', name]),
      ])
      expect(long).toMatchObject({ code: 0, stderr: '' })
      expect(long.stdout).toContain(`Usage: ibverbs ${name}`)
      expect(long.stdout).toContain('Options:')
      expect(long.stdout).toMatch(/ -h, --help +show this text/)
      expect(short).toEqual(long)
      expect(word).toEqual(long)
    },
  )

  test.each(commands)('ibverbs %s --help fits 100 columns', async (name) => {
    const { stdout } = await ibverbs([name, '--help'])
    for (const line of stdout.split('\n')) expect(line.length, line).toBeLessThanOrEqual(100)
  })

  test('is printed even if operands are missing or wrong', async () => {
    expect(await ibverbs(['dump', 'a', 'b', '--help'])).toMatchObject({ code: 0 })
  })

  test("but not behind '--'", async () => {
    expect(await ibverbs(['doctor', '--', '--help'])).toMatchObject({
      code: 2,
      stderr: "ibverbs doctor: unexpected argument '--help'\nTry 'ibverbs doctor --help'.\n",
    })
  })
})

test('help needs no addon: no command loads it before it runs', async () => {
  const folder = new URL('../../dist/cli/', import.meta.url)
  // A command of several files has a folder.
  const module = (name: string) => (existsSync(new URL(`${name}.js`, folder)) ? name : `${name}/${name}`)
  const modules = commands.map((name) => new URL(`${module(name)}.js`, folder).href)
  const script = `for (const module of ${JSON.stringify(modules)}) await import(module)
    console.log(process.report.getReport().sharedObjects.filter((path) => path.endsWith('ibverbs.node')).length)`
  const { code, stdout } = await new Running(process.execPath, ['--input-type=module', '-e', script]).finished
  expect({ code, stdout }).toEqual({ code: 0, stdout: '0\n' })
})

describe('--version', () => {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))

  test.each([['--version'], ['-V']])('%s prints the version of package.json', async (arg) => {
    expect(await ibverbs([arg])).toEqual({ code: 0, signal: null, stdout: `${version}\n`, stderr: '' })
  })
})

describe('wrong usage: exit code 2, nothing on standard output, and the reason', () => {
  const usage = (name: string, message: string) =>
    `ibverbs ${name}: ${message}\nTry 'ibverbs ${name} --help'.\n`
  const file = new URL(import.meta.url).pathname

  test.each([
    [['pong'], `ibverbs: unknown command 'pong'; the commands are ${commands.join(', ')}\n`],
    [['help', 'pong'], `ibverbs: unknown command 'pong'; the commands are ${commands.join(', ')}\n`],
    [['--loud'], `ibverbs: unknown option '--loud'; the commands are ${commands.join(', ')}\n`],
    [['toString'], `ibverbs: unknown command 'toString'; the commands are ${commands.join(', ')}\n`],
    ...commands.map((name) => [[name, '--bad'], usage(name, "Unknown option '--bad'")] as [string[], string]),
    [['doctor', 'now'], usage('doctor', "unexpected argument 'now'")],
    [['devices', 'a', 'b'], usage('devices', "unexpected argument 'b'")],
    [['dump'], usage('dump', 'IFACE is missing')],
    // Refused before anything opens: the test needs no privilege.
    [
      ['dump', 'lo', '--backend', 'af_xdp', 'lldp'],
      usage('dump', "filter 'lldp': can't parse filter expression: syntax error"),
    ],
    [
      ['dump', 'lo', '-c', '0'],
      usage('dump', `--count must be an integer from 1 to ${Number.MAX_SAFE_INTEGER}, not '0'`),
    ],
    [
      ['dump', 'lo', '-c', 'x'],
      usage('dump', `--count must be an integer from 1 to ${Number.MAX_SAFE_INTEGER}, not 'x'`),
    ],
    [
      ['dump', 'lo', '-s', '300000'],
      usage('dump', "--snaplen must be an integer from 1 to 262144, not '300000'"),
    ],
    [['dump', 'lo', '-c'], usage('dump', "Option '-c, --count <value>' argument missing")],
    [['dump', 'lo', '--json', '-w', '-'], usage('dump', '--json and --write exclude each other')],
    [['send'], usage('send', 'IFACE is missing')],
    [['send', 'lo', 'zz'], usage('send', "HEX: 'z' is not a hexadecimal digit")],
    [['send', 'lo', '0102'], usage('send', 'HEX: 2 bytes are no frame: the header alone has 14')],
    [['send', 'lo', '0102', '-f', file], usage('send', 'frames come from HEX or from --file, not both')],
    [['send', 'lo', '0102', '-i', '-1'], usage('send', "Option '-i' argument is ambiguous")],
    [['send', 'lo'], usage('send', 'stdin: no frame there')],
    [['send', 'lo', '--speed', '2'], usage('send', '--speed needs --read')],
    [['send', 'lo', '-r', '-'], usage('send', '--read needs a file: a pipe has a timing of its own')],
    [['send', 'lo', '0102', '-r', file], usage('send', '--read and HEX exclude each other')],
    [
      ['send', 'lo', '-r', file, '--rate', '1x'],
      usage('send', "--rate must be frames a second like 100k, bits like 500Mbit, or max, not '1x'"),
    ],
    [['dump', 'lo', '--format', 'pcap'], usage('dump', '--format needs --write')],
    [['dump', 'lo', '--check', '-w', 'x'], usage('dump', '--check and --write exclude each other')],
    [
      ['dump', 'lo', '--queue', '1'],
      usage('dump', "--queue needs '--backend af_xdp': af_packet has no queue to choose"),
    ],
    [
      ['dump', 'lo', '--backend', 'dpdk'],
      usage('dump', "--backend must be af_packet or af_xdp or raw_packet_qp or mlx5, not 'dpdk'"),
    ],
    [['generate', 'lo'], usage('generate', '--to is missing: a MAC address, or an IP address and a port')],
    [
      ['generate', 'lo', '--to', 'host:9'],
      usage(
        'generate',
        "--to must be a MAC address, or ADDRESS or ADDRESS:PORT ([ADDRESS]:PORT for IPv6), not 'host:9'",
      ),
    ],
    [
      ['generate', 'lo', '--to', '10.0.0.1', '-c', '0'],
      usage('generate', "--count must be an integer from 1, such as 5000 or 10M, not '0'"),
    ],
    [['generate', 'lo', '--to', '10.0.0.1', '--linger', '1'], usage('generate', '--linger needs --receive')],
    [['forward', 'lo'], usage('forward', 'IFACE_B is missing')],
    [['forward', 'lo', 'lo'], usage('forward', 'the two interfaces must not be the same')],
    [['reflect'], usage('reflect', 'IFACE is missing')],
    [['ping'], usage('ping', 'HOST is missing; to be the server, say --listen')],
    [['ping', '--listen', 'host'], usage('ping', "unexpected argument 'host'")],
    [['ping', 'a', 'b'], usage('ping', "unexpected argument 'b'")],
    [['ping', 'a', '-n', '5', '--warmup', '5'], usage('ping', '--warmup 5 leaves nothing of 5 messages')],
    [['ping', 'a', '-t', 'xrc'], usage('ping', "--type must be rc or uc or ud, not 'xrc'")],
    [['ping', 'a', '-m', '1500'], usage('ping', "--mtu must be 256, 512, 1024, 2048 or 4096, not '1500'")],
    [['ping', 'a', '-p', '65536'], usage('ping', "--port must be an integer from 1 to 65535, not '65536'")],
    [
      ['ping', 'a', '--timeout', '0'],
      usage('ping', "--timeout must be a number from 0.001 to 86400, not '0'"),
    ],
  ])('ibverbs %j', async (args, stderr) => {
    expect(await ibverbs(args as string[])).toEqual({ code: 2, signal: null, stdout: '', stderr })
  })
})

describe('Ctrl-C', () => {
  test('ends a command that reads its standard input', async () => {
    const sending = start(['send', 'lo'], {
      input: 'ffffffffffff',
      open: true,
      env: { NODE_DEBUG: 'ibverbs' },
    })
    await sending.until(/reading/)
    sending.child.kill('SIGINT')
    expect(await sending.finished).toMatchObject({ code: 130, signal: null, stdout: '' })
  })
})

describe('output', () => {
  test('a reader that ends early is no error', async () => {
    const script = `"${process.execPath}" "${main}" doctor --json | head -c 1; echo "\${PIPESTATUS[0]}"`
    const { stdout, stderr } = await new Running('bash', ['-c', script]).finished
    expect({ stdout, stderr }).toEqual({ stdout: '{0\n', stderr: '' })
  })

  test('a closed standard output is no crash', async () => {
    const script = `"${process.execPath}" "${main}" --version >&-; echo "$?"`
    const { stdout } = await new Running('bash', ['-c', script]).finished
    expect(stdout).toBe('0\n')
  })

  const colour = '\x1b['
  /** Runs doctor on a new terminal, from script(1). */
  const onTerminal = (env: NodeJS.ProcessEnv) =>
    new Running('script', ['-qec', `"${process.execPath}" "${main}" doctor`, '/dev/null'], {
      env: { TERM: 'xterm', ...env },
    }).finished

  test('has colours on a terminal', async () => {
    expect((await onTerminal({})).stdout).toContain(colour)
  })

  test.each([
    ['NO_COLOR=1', { NO_COLOR: '1' }],
    ['TERM=dumb', { TERM: 'dumb' }],
  ])('has none with %s', async (_, env) => {
    expect((await onTerminal(env)).stdout).not.toContain(colour)
  })

  test('has none in a pipe', async () => {
    expect((await ibverbs(['doctor'])).stdout).not.toContain(colour)
  })
})
