/**
 * An interface, or a queue of it, that another program uses: nothing of it is replaced, and the error names the owner.
 */

import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FramePool, PacketQueue, type VerbsError } from 'ibverbs/ethernet'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { native } from '../../dist/native.js'
import { execFileSync, spawn } from '../beds/child.js'
import { ip, vethPair } from '../beds/veth.js'
import { programPath } from './program.js'
import { collect, frame, on, transmit } from './traffic.js'

const { open } = on('af_xdp')

function programOn(name: string): { name: string; id: number } | undefined {
  const id = /\bprog\/xdp\w* id (\d+) (?:name (\w+))?/.exec(ip('-d', 'link', 'show', name))
  return id ? { id: Number(id[1]), name: id[2] } : undefined
}

test('a queue of the device that already has a socket', async () => {
  using veth = vethPair({ queues: 2 })
  using first = open(veth.a)
  const frames = new FramePool({ frameCount: 64 })
  const before = native.handleCount()
  for (const queueId of [0, 'all'] as const) {
    expect(() => open(veth.a, { frames, queueId })).toThrow(
      expect.objectContaining({
        code: 'EBUSY',
        syscall: 'bind',
        message: expect.stringContaining('queue 0'),
      }),
    )
  }
  // 'all' takes the other queues first.
  using second = open(veth.a, { queueId: 1, frames })
  expect(second.frames.free).toBe(32)
  first.close()
  expect(() => open(veth.a, { queueId: 'all', frames })).toThrow(
    expect.objectContaining({ code: 'EBUSY', message: expect.stringContaining('queue 1') }),
  )
  second.close()
  // The first queue's socket, and the watch on its link.
  expect(native.handleCount()).toBe(before - 2)
  expect(frames.free).toBe(64)
  using again = open(veth.a, { queueId: 'all' })
  expect(again.backend).toBe('af_xdp')
})

test("another process's queue", async () => {
  using veth = vethPair({ queues: 2 })
  const child = await holder(process.execPath, '--no-warnings', programPath('hold.mjs'), veth.a)
  const before = native.handleCount()
  expect(() => open(veth.a, { queueId: 1 })).toThrow(
    expect.objectContaining({
      name: 'VerbsError',
      code: expect.stringMatching(/^(EBUSY|EEXIST)$/),
      syscall: 'bpf',
      message: expect.stringMatching(
        /"ibverbs" \(id \d+, native\).*not replaced; it is a PacketQueue's of another process/,
      ),
    }),
  )
  expect(native.handleCount()).toBe(before)
  await child.end()
  using queue = open(veth.a, { queueId: 1 })
  expect(queue.report.mode).toBe('native')
})

describe("another program's XDP program", () => {
  const folder = mkdtempSync(join(tmpdir(), 'ibverbs-foreign-'))
  const foreign = join(folder, 'foreign-xdp')
  beforeAll(() => {
    execFileSync('cc', ['-O1', '-o', foreign, programPath('foreign-xdp.c')])
  })
  afterAll(() => rmSync(folder, { recursive: true }))

  test.each([
    ['xdp_dispatcher', /; it is libxdp's dispatcher: see xdp-loader status$/],
    [
      'somebody',
      /; to remove it: end what holds it by a link \(process \d+, foreign-xdp\), or bpftool link detach id \d+$/,
    ],
  ])('%s', async (name, whose) => {
    using veth = vethPair()
    using peer = open(veth.b, { promiscuous: true })
    const child = await holder(foreign, name, veth.a)
    const there = programOn(veth.a)
    expect(there?.name).toBe(name)
    for (const queueId of [0, 'all'] as const) {
      const error = refusal(() => open(veth.a, { queueId }))
      expect(error).toMatchObject({ code: expect.stringMatching(/^(EBUSY|EEXIST)$/), syscall: 'bpf' })
      expect(error.message).toContain(`"${name}" (id ${there?.id}, native), which is not replaced`)
      expect(error.message).toMatch(whose)
    }
    using beside = PacketQueue.open(veth.a, { exclusive: true })
    expect(beside.backend).toBe('af_packet')
    expect(beside.report.notUsed[0]).toEqual({ what: 'af_xdp', why: expect.stringContaining(name) })
    // A queue that only transmits needs no program.
    using sender = open(veth.a, { transmitOnly: true })
    const sent = frame(peer, sender, 60, 7)
    transmit(sender, sent)
    expect(await collect(peer, 1)).toEqual([sent])
    sender.close()
    expect(programOn(veth.a)).toEqual(there)
    await child.end()
    using queue = open(veth.a)
    expect(queue.report.mode).toBe('native')
  })
})

describe('the remedy in the error removes a program attached by netlink', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ibverbs-foreign-'))
  const foreign = join(folder, 'foreign-xdp')
  beforeAll(() => {
    execFileSync('cc', ['-O1', '-o', foreign, programPath('foreign-xdp.c')])
  })
  afterAll(() => rmSync(folder, { recursive: true }))

  test.each(['xdpdrv', 'xdpgeneric'])('%s', (mode) => {
    using veth = vethPair()
    execFileSync(foreign, ['somebody', veth.a, mode])
    expect(programOn(veth.a)?.name).toBe('somebody')
    const [, words] = / to remove it: ip (.*)$/.exec(refusal(() => open(veth.a)).message) ?? []
    expect(words).toBe(`link set ${veth.a} ${mode} off`)
    ip(...words.split(' '))
    expect(programOn(veth.a)).toBe(undefined)
    using queue = open(veth.a)
    expect(queue.report.mode).toBe('native')
  })
})

function refusal(call: () => unknown): VerbsError {
  try {
    call()
  } catch (error) {
    return error as VerbsError
  }
  throw new Error('it was not refused')
}

/** A process that has printed a line and runs until its input ends. */
async function holder(file: string, ...words: string[]): Promise<{ end(): Promise<void> }> {
  const child = spawn(file, words, { stdio: ['pipe', 'pipe', 'inherit'] })
  const exit = once(child, 'exit')
  const [word] = await once(child.stdout, 'data')
  if (!['attached\n', 'open\n'].includes(String(word))) throw new Error(String(word))
  return {
    async end() {
      child.stdin.end()
      expect(await exit).toEqual([0, null])
    },
  }
}
