/** A `socket:` wire between programs: a third is refused in words, and a killed one makes room. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { softConnectX, softLibraryPath } from 'ibverbs/soft'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { thrownBy } from '../beds/process.js'
import { Running } from '../cli/run.js'

let folder = ''
let wire = ''
const running: Running[] = []
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'socket-wire-'))
  wire = join(folder, 'wire')
})
afterEach(async () => {
  for (const program of running.splice(0)) await killed(program)
  rmSync(folder, { recursive: true })
})

function start(command: string, ...words: string[]): Running {
  const env = { IBVERBS_SOFT: `socket:${wire}`, LD_PRELOAD: softLibraryPath(), TMPDIR: folder }
  const program = new Running(command, words, { env })
  running.push(program)
  return program
}

async function killed(program: Running): Promise<void> {
  program.child.kill('SIGKILL')
  await program.finished
}

/** A program that holds a device open until it is killed. */
async function holder(): Promise<Running> {
  const program = start('stdbuf', '-oL', 'ibv_asyncwatch', '-d', 'mlx5_soft0')
  await program.until(/async event FD/)
  return program
}

test('refuses a third process in words, without a device, until one of the two has ended', async () => {
  const two = [await holder(), await holder()]
  for (const gone of [0, 1]) {
    const [first, second] = two.map(({ child }) => child.pid)
    const words = `socket:${wire}: both ends of the wire are taken, by the processes `
    const third = await start('ibv_devinfo').finished
    expect(third.stderr).toContain(words)
    expect([`${words}${first} and ${second}`, `${words}${second} and ${first}`]).toContain(
      third.stderr.match(/socket:\S+: both .* and \d+/)?.[0],
    )
    expect(third.stdout).not.toContain('mlx5_soft0')
    expect(thrownBy(() => softConnectX({ wire: `socket:${wire}` }))).toMatchObject({
      name: 'VerbsError',
      code: 'EBUSY',
      message: expect.stringContaining(words),
    })
    await killed(two[gone])
    const next = await start('ibv_devinfo').finished
    expect(next.stderr).toBe('')
    expect(next.stdout).toContain('PORT_ACTIVE')
    two[gone] = await holder()
  }
})

test('the next two processes clean up after two killed ones', async () => {
  const two = [await holder(), await holder()]
  for (const each of two) await killed(each)
  const left = () => readdirSync(folder).filter((name) => name.startsWith('wire'))
  expect(left()).toContain('wire.lock') // and the socket, unless the second was just about to replace the first one's
  const devices = softConnectX({ wire: `socket:${wire}` })
  expect((await start('ibv_devinfo').finished).stdout).toContain('PORT_ACTIVE')
  devices.close()
  expect(left()).toEqual([])
})

test('a child that outlives its process does not keep its end', async () => {
  // fork(2) without exec: the child has its parent's descriptors.
  const script = `
import ctypes, os, signal, sys
verbs = ctypes.CDLL('libibverbs.so.1')
verbs.ibv_get_device_list(None)
child = os.fork()
if child == 0:
    signal.pause()
print(child, flush=True)
signal.pause()`
  const parent = start('python3', '-c', script)
  await parent.until(/\d+/)
  const child = Number(parent.stdout)
  try {
    await holder()
    expect(thrownBy(() => softConnectX({ wire: `socket:${wire}` })).code).toBe('EBUSY')
    parent.child.kill('SIGKILL')
    await new Promise((resolve) => parent.child.once('exit', resolve))
    softConnectX({ wire: `socket:${wire}` }).close()
    process.kill(child, 0) // and the child lives all the time
  } finally {
    process.kill(child, 'SIGKILL')
  }
})
