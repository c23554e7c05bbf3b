/** docs/examples/responder.mjs, pinged by the real ping of iputils from a namespace with a kernel's stack. */
import { fileURLToPath } from 'node:url'
import { queryInterface } from 'ibverbs/ethernet'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { execute } from '../beds/child.js'
import { Peer } from '../beds/peer.js'
import { Running } from '../cli/run.js'
import { backends } from './traffic.js'

const responder = fileURLToPath(new URL('../../docs/examples/responder.mjs', import.meta.url))
const ours = '10.77.0.2'
const asRoot: [string, number, string[]][] = [
  ['a flood: the next at once when one is answered', 2000, ['-f']],
  ['sixteen at once', 64, ['-l', '16', '-i', '0.02']],
]
const root = process.getuid?.() === 0

describe.each(backends)('%s', (backend) => {
  let peer: Peer
  let running: Running
  /** The number of requests. */
  let asked = 0

  beforeAll(async () => {
    // Our end has no address: only the responder can answer.
    peer = await Peer.create({ far: '10.77.0.1/24' })
    running = new Running(process.execPath, [responder, peer.near, ours, backend])
    await running.until(/is at/)
  })

  afterAll(async () => {
    running.child.kill('SIGINT')
    await running.finished
    await peer[Symbol.asyncDispose]()
  })

  /**
   * The totals at the end of ping's output. With a deadline ping runs until `count` requests are answered; without one
   * it gives the last answer no more time than the slowest took. It may send more than `count`, and takes several
   * answers at once: more may be answered, and the last ones may not be awaited.
   */
  async function ping(count: number, ...flags: string[]) {
    const [command, ...args] = peer.inside('ping', '-n', '-c', String(count), '-w', '100', ...flags, ours)
    const { stdout } = await execute(command, args)
    const [, sent, received, errors] =
      /(\d+) packets transmitted, (\d+) received(.*), [\d.]+% packet loss/.exec(stdout) ?? []
    asked += Number(sent)
    return { received: Number(received), errors, stdout }
  }

  test('prints its address', () => {
    expect(running.stdout).toBe(
      `${ours} is at ${queryInterface(peer.near).mac} on ${peer.near}; Ctrl-C ends\n`,
    )
  })

  test('is resolved by the kernel’s ARP', async () => {
    peer.run('ip', 'neigh', 'flush', 'dev', peer.far)
    expect(await ping(1)).toMatchObject({ received: 1, errors: '' })
    expect(peer.run('ip', 'neigh', 'show', ours)).toContain(`lladdr ${queryInterface(peer.near).mac} `)
  })

  describe('answers every ping', () => {
    // ping reserves the last two for root.
    test.each([
      ['a hundred, every 5 ms', 100, ['-i', '0.005']],
      ['without data', 20, ['-i', '0.01', '-s', '0']],
      ['an odd number of bytes', 20, ['-i', '0.01', '-s', '57']],
      ['of the whole MTU, with a pattern', 50, ['-i', '0.01', '-s', '1472', '-p', 'a5c3']],
      ...(root ? asRoot : []),
    ])('%s', async (_, count, flags) => {
      // ping compares the data of the answer with its own, and reports a difference.
      const { stdout, received, errors } = await ping(count, ...flags)
      expect(received).toBeGreaterThanOrEqual(count)
      expect(errors).toBe('')
      expect(stdout).not.toMatch(/wrong data byte|DUP!|checksum|truncated/)
    })
  })

  test('ignores frames to others', async () => {
    const [command, ...args] = peer.inside('ping', '-n', '-c', '1', '-W', '1', '10.77.0.3')
    await expect(execute(command, args)).rejects.toMatchObject({ code: 1 })
  })

  test('reports at the end that it answered every request', async () => {
    running.child.kill('SIGTERM')
    const { code, stdout, stderr } = await running.finished
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const [, requests, pings] = /\nanswered (\d+) ARP requests and (\d+) pings\n$/.exec(stdout) ?? []
    expect(Number(requests)).toBeGreaterThanOrEqual(1)
    expect(Number(pings)).toBe(asked)
  })
})
