/** The control socket: who may ask, what is answered to whatever is said, and how it goes. */
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { control } from 'ibverbs'
import { beforeEach, describe, expect, test } from 'vitest'
import { spawn } from '../beds/child.js'
import { onOver } from '../beds/over.js'
import { node } from '../beds/process.js'
import { ibverbs, Running } from '../cli/run.js'
import { Client } from './client.js'
import { runtimeFolder } from './folder.js'

const asked = join(import.meta.dirname, 'programs/asked.mjs')
const isRoot = process.getuid?.() === 0
const nobody = 65534
const program = '{"version":1,"ask":"program"}\n'

let runtime: string

beforeEach(() => {
  runtime = runtimeFolder()
})

async function open(): Promise<string> {
  const socket = await control()
  onOver(() => socket.close())
  return socket.path
}

/** A program that can be asked, and its socket. */
async function start(way: string, env: NodeJS.ProcessEnv = {}): Promise<Running & { path: string }> {
  const running = new Running(process.execPath, [asked, way], { env, open: true })
  await running.until(/\.sock\n/)
  return Object.assign(running, { path: running.stdout.split('\n')[0] })
}

test('lies in a folder that only the user may enter, under the process’s and the thread’s number', async () => {
  const socket = await control()
  expect(socket.path).toBe(join(runtime, 'ibverbs', `${process.pid}.0.sock`))
  expect(lstatSync(join(runtime, 'ibverbs')).mode & 0o7777).toBe(0o700)
  expect(lstatSync(socket.path).mode & 0o7777).toBe(0o600)
  expect(await control()).toBe(socket)
  socket.close()
  socket.close()
  expect(readdirSync(join(runtime, 'ibverbs'))).toEqual([])
  const again = await control()
  expect(again).not.toBe(socket)
  again.close()
})

test('answers a line with a line', async () => {
  const client = new Client(await open())
  const answer = await client.say(program)
  expect(answer).toEqual({
    ...{ version: 1, pid: process.pid, thread: 0 },
    answer: { command: expect.stringMatching(/^node/), node: process.version, seconds: expect.any(Number) },
  })
  expect(await client.say('{"version":1,"ask":"rings"}\n')).toEqual({
    ...{ version: 1, pid: process.pid, thread: 0 },
    answer: { queues: [], omitted: 0 },
  })
  client.socket.destroy()
})

test.each([
  ['\n', 'a request is a line of JSON'],
  ['\u0000\u0001\n', 'a request is a line of JSON'],
  [new Uint8Array([0xff, 0xfe, 0x80, 10]), 'a request is a line of JSON'],
  ['GET / HTTP/1.1\n', 'a request is a line of JSON'],
  ['null\n', 'a request is an object'],
  ['7\n', 'a request is an object'],
  ['[]\n', 'this program speaks version 1 of the control protocol'],
  ['{"version":2,"ask":"program"}\n', 'this program speaks version 1 of the control protocol'],
  ['{"version":1}\n', '"ask" must be one of program, rings'],
  ['{"version":1,"ask":"__proto__"}\n', '"ask" must be one of program, rings'],
  ['{"version":1,"ask":{}}\n', '"ask" must be one of program, rings'],
  ['{"version":1,"ask":"rings","entries":0}\n', '"entries" must be an integer from 1 to 64'],
  ['{"version":1,"ask":"rings","entries":"8"}\n', '"entries" must be an integer from 1 to 64'],
  ['{"version":1,"ask":"rings","entries":1e99}\n', '"entries" must be an integer from 1 to 64'],
])('to %j it says what is wrong, and goes on', async (said, error) => {
  const client = new Client(await open())
  expect(await client.say(said)).toEqual({ version: 1, error })
  expect(await client.say(program)).toMatchObject({ answer: { node: process.version } })
  client.socket.destroy()
})

test('a request that is too long ends the conversation', async () => {
  const path = await open()
  const client = new Client(path)
  const refusal = { version: 1, error: 'a request has 4096 bytes at most' }
  expect(await client.say('x'.repeat(4097))).toEqual(refusal)
  await client.closed
  const flood = new Client(path)
  // Far more than the socket's buffers hold: it is not read.
  flood.socket.write(Buffer.alloc(64 << 20, 'x'))
  await flood.closed
  const line = new Client(path)
  expect(await line.say(`${' '.repeat(4097)}${program}`)).toEqual(refusal)
  const last = new Client(path)
  expect(await last.say(program)).toMatchObject({ pid: process.pid })
  last.socket.destroy()
})

test('many requests at once get an answer each, however slowly they are taken', async () => {
  const client = new Client(await open())
  client.socket.pause()
  const count = 20_000
  client.socket.write(program.repeat(count))
  client.socket.resume()
  for (let i = 0; i < count; i++) expect((await client.line()).version).toBe(1)
  expect(client.text).toBe('')
  client.socket.destroy()
})

test('eight clients at a time; who goes makes room', async () => {
  const path = await open()
  const clients = Array.from({ length: 8 }, () => new Client(path))
  for (const client of clients) expect(await client.say(program)).toMatchObject({ pid: process.pid })
  const ninth = new Client(path)
  expect(await ninth.line()).toEqual({ version: 1, error: '8 others are asking: try again' })
  await ninth.closed
  clients[0].socket.destroy()
  let answer: Record<string, unknown>
  do {
    const next = new Client(path)
    answer = await next.say(program).catch(() => ({}))
    next.socket.destroy()
  } while (answer.pid !== process.pid)
  for (const client of clients) client.socket.destroy()
})

describe.runIf(isRoot)('another user', () => {
  test('is refused by the kernel’s word, where folder and file let it in', async () => {
    const path = await open()
    for (const each of [runtime, join(runtime, 'ibverbs')]) chmodSync(each, 0o711)
    chmodSync(path, 0o777)
    const script = `require('node:net').createConnection(${JSON.stringify(path)}).pipe(process.stdout)`
    const child = spawn(process.execPath, ['-e', script], {
      uid: nobody,
      gid: nobody,
      cwd: '/',
      stdio: 'pipe',
    })
    let said = ''
    child.stdout.on('data', (part) => {
      said += part
    })
    await once(child, 'close')
    expect(JSON.parse(said)).toEqual({ version: 1, error: 'only processes of the same user may ask' })
  })

  test('has programs that are not asked', async () => {
    const child = spawn('sleep', ['1000'], { uid: nobody, gid: nobody, stdio: 'ignore' })
    expect(await ibverbs(['explain', '--attach', String(child.pid)])).toEqual({
      ...{ code: 1, signal: null, stdout: '' },
      stderr: `ibverbs explain: process ${child.pid} belongs to user ${nobody}: only programs of one's own can be asked\n`,
    })
  })

  test('may not have made the folder', async () => {
    mkdirSync(join(runtime, 'ibverbs'), { mode: 0o700 })
    chownSync(join(runtime, 'ibverbs'), nobody, nobody)
    await expect(control()).rejects.toMatchObject({
      code: 'ERR_IBVERBS_CONTROL',
      message: expect.stringContaining(
        `ibverbs belongs to user ${nobody}: control sockets must be in a folder`,
      ),
    })
  })
})

describe('refuses a folder that is not the user’s own:', () => {
  test.each([
    ['a symbolic link', 'is a symbolic link', (at: string) => symlinkSync('/tmp', at)],
    ['a file', 'is no folder', (at: string) => writeFileSync(at, '')],
    ['open to a group', 'may be entered by others (mode 750, not 700)', (at: string) => mkdirSync(at, 0o750)],
  ])('%s', async (_, why, make) => {
    const at = join(runtime, 'ibverbs')
    make(at)
    const message = `${at} ${why}: control sockets must be in a folder that is the user's own. Remove it, or set XDG_RUNTIME_DIR`
    await expect(control()).rejects.toMatchObject({ code: 'ERR_IBVERBS_CONTROL', message })
    expect(await ibverbs(['explain', '--attach'])).toMatchObject({
      code: 1,
      stderr: `ibverbs explain: ${message}\n`,
    })
    // The program goes on without a socket.
    const { code, stderr } = await node(
      `import { listDevices } from 'ibverbs'; try { listDevices() } catch {}`,
      {
        env: { IBVERBS_CONTROL: '1', XDG_RUNTIME_DIR: runtime },
      },
    )
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: expect.stringContaining(`Warning: there is no control socket: ${message}`),
    })
  })
})

test('a path that a Unix socket cannot have is refused', async () => {
  const long = join(runtime, 'x'.repeat(100))
  mkdirSync(long)
  process.env.XDG_RUNTIME_DIR = long
  await expect(control()).rejects.toMatchObject({
    code: 'ERR_IBVERBS_CONTROL',
    message: expect.stringContaining("is longer than a Unix socket's path may be (107 bytes)"),
  })
})

test('IBVERBS_CONTROL must be 0 or 1', async () => {
  const script = `import { listDevices } from 'ibverbs'; try { listDevices() } catch {}`
  const { code, stderr } = await node(script, { env: { IBVERBS_CONTROL: 'yes' } })
  expect(code).toBe(0)
  expect(stderr).toContain("Warning: IBVERBS_CONTROL must be 0 or 1, not 'yes': there is no control socket")
  expect((await node(script, { env: { IBVERBS_CONTROL: '0' } })).stderr).toBe('')
})

describe('goes with', () => {
  test('a process that has nothing else to do', async () => {
    const running = await start('nothing')
    expect(await running.finished).toMatchObject({ code: 0, stderr: '' })
    expect(existsSync(running.path)).toBe(false)
  })

  test.each([
    ['exit', 0],
    ['exception', 1],
    ['close', 0],
  ])('%s', async (way, code) => {
    const running = await start(way)
    expect((await running.finished).code).toBe(code)
    expect(existsSync(running.path)).toBe(false)
  })

  test('its worker, which has one of its own', async () => {
    const running = await start('worker')
    await running.until(/\.sock\n.*\.sock\n/)
    const [main, worker] = running.stdout.split('\n')
    expect(worker).toBe(main.replace('.0.sock', '.1.sock'))
    const { stdout } = await ibverbs(['explain', '--attach', '--json'])
    const { pid } = running.child
    const listed = JSON.parse(stdout).filter((each: { pid: number }) => each.pid === pid)
    expect(listed).toMatchObject([
      { pid, thread: 0, path: main },
      { pid, thread: 1, path: worker },
    ])
    running.child.kill('SIGUSR2')
    await running.until(/terminated/)
    expect([main, worker].map((path) => existsSync(path))).toEqual([true, false])
  })

  test('the next listing, of a process that was killed', async () => {
    const [killed, living] = [await start('idle'), await start('idle')]
    killed.child.kill('SIGKILL')
    await killed.finished
    expect(existsSync(killed.path)).toBe(true)
    const { stdout, stderr } = await ibverbs(['explain', '--attach'])
    expect(stderr).toBe('')
    expect(stdout).toMatch(
      new RegExp(`^PID +thread +seconds +command\n(.*\n)*${living.child.pid} +main +\\d+ +node ${asked}\n`),
    )
    expect(stdout).not.toContain(String(killed.child.pid))
    expect(existsSync(killed.path)).toBe(false)
    expect(await ibverbs(['explain', '--attach', String(killed.child.pid)])).toMatchObject({
      code: 1,
      stderr: `ibverbs explain: there is no process ${killed.child.pid}\n`,
    })
  })
})

describe('says in words why a program cannot be asked:', () => {
  const attach = async (pid = process.pid) => {
    const { code, stdout, stderr } = await ibverbs(['explain', '--attach', String(pid)])
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    return stderr.replace(/^ibverbs explain: /, '').trimEnd()
  }

  test('it did not ask for it', async () => {
    expect(await attach()).toBe(
      `process ${process.pid} did not ask to be looked at: it must run with IBVERBS_CONTROL=1, or call control()`,
    )
  })

  test('it is busy', async () => {
    const running = await start('busy')
    expect(await attach(running.child.pid)).toBe(
      `process ${running.child.pid} does not answer within 3 s: its event loop is busy with something else, or the process is stopped`,
    )
  })

  const half = '{"version":1,"pid":1,"thread":0,"answer":{"queues":[{"kind":'
  test.each([
    ['it ends in mid-answer', half, 'ended before it had answered'],
    ['it ends at once', '', 'ended before it had answered'],
    [
      'another version',
      '{"version":2}\n',
      'speaks version 2 of the control protocol, this program version 1: use the ibverbs of its own release',
    ],
    ['no protocol', 'SSH-2.0-OpenSSH\n', 'answered with something else than JSON'],
    ['nothing', 'null\n', 'answered with no object'],
    ['an error', '{"version":1,"error":"not today"}\n', 'answered: not today'],
    [
      'no rings',
      '{"version":1,"answer":{"queues":[{"kind":"queuePair"}],"omitted":0}}\n',
      'answered with what are no rings',
    ],
    ['too much', 'x'.repeat(2 << 20), 'answered with more than 1048576 bytes'],
  ])('%s', async (_, answer, why) => {
    mkdirSync(join(runtime, 'ibverbs'), { mode: 0o700 })
    const server = createServer((socket) => {
      socket.on('error', () => {})
      socket.once('data', () => socket.end(answer))
    })
    onOver(() => server.close())
    server.listen(join(runtime, 'ibverbs', `${process.pid}.0.sock`))
    await once(server, 'listening')
    expect(await attach()).toBe(`process ${process.pid} ${why}`)
  })
})
