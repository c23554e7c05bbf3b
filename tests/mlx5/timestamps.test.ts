/** Completions that carry the device's clock: on its time, and with all that completions tell without it. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type CompletionQueue, type Context, open, type ProtectionDomain } from 'ibverbs'
import { DeviceClock } from 'ibverbs/mlx5'
import { softConnectX } from 'ibverbs/soft'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { onOver } from '../beds/over.js'
import { thrownBy } from '../beds/process.js'
import { start } from '../cli/run.js'

let soft: ReturnType<typeof softConnectX>
let context: Context
let domain: ProtectionDomain

beforeAll(() => {
  soft = softConnectX({ wire: 'loop' })
  context = open(soft.devices()[0].name)
  domain = context.allocateProtectionDomain()
})
afterAll(() => {
  context.close()
  soft.close()
})

/** Waits until the program could see it, without a look at the completion queue. */
async function arrives(bytes: Uint8Array, at: number): Promise<void> {
  while (bytes[at] === 0) await delay(1)
}

test('the stamp is of the completion, however late it is polled', async () => {
  const cq = context.createCompletionQueue(64, { timestamps: true })
  const pair = domain.createQueuePair({ type: 'RC', cq, maxSendWr: 8, maxReceiveWr: 8 })
  pair.connect(pair.endpoint)
  const memory = domain.registerMemory(4096)
  memory.bytes.fill(7, 0, 100)
  const receive = pair.prepareReceive({ memory })
  const send = pair.prepareSend({ memory })
  const clock = DeviceClock.of(context)
  const stamps: number[] = []
  for (let i = 0; i < 3; i++) {
    memory.bytes.fill(0, 1000, 1100)
    receive.post(1, 1000, 100)
    pair.submit()
    const before = Date.now()
    send.post(2, 0, 100)
    pair.submit()
    await arrives(memory.bytes, 1099)
    const seen = Date.now()
    await delay(60)
    let count = 0
    for (let n = 0; n < 2; n += count) {
      count = cq.poll()
      for (let row = 0; row < count; row++) {
        clock.refresh()
        const cycles = (BigInt(cq.timestampHigh[row]) << 32n) | BigInt(cq.timestampLow[row])
        const at = Number(clock.nanoseconds(cycles) / 1000n) / 1000
        // The clocks are compared by the millisecond; polled was 60 after.
        expect(at).toBeGreaterThan(before - 5)
        expect(at).toBeLessThan(seen + 30)
        stamps.push(at)
      }
    }
  }
  expect(stamps).toEqual([...stamps].sort((a, b) => a - b))
  pair.close()
  cq.close()
})

/** What completions tell besides their time, one by one: each in the row of the one before. */
async function told(timestamps: boolean) {
  const cq = context.createCompletionQueue(256, { timestamps, batch: 1 })
  const memory = domain.registerMemory(4096)
  const all: Record<string, unknown>[] = []
  const columns = [
    ...(['cookie', 'status', 'opcode', 'queuePairNumber', 'byteLength', 'immediate', 'flags'] as const),
    ...(['sourceQueuePair', 'vendorError', 'flowTag'] as const),
  ]
  const take = async (count: number, queue: CompletionQueue) => {
    for (let got = 0; got < count; ) {
      const n = await queue.wait()
      if (n === 1) all.push(Object.fromEntries(columns.map((name) => [name, queue[name][0]])))
      got += n
    }
  }
  const pair = domain.createQueuePair({ type: 'RC', cq, maxSendWr: 8, maxReceiveWr: 8 })
  pair.connect(pair.endpoint)
  const [receive, send] = [
    pair.prepareReceive({ memory }),
    pair.prepareSend({ memory, immediate: 0x12345678 }),
  ]
  for (const cookie of [1, 3]) {
    receive.post(cookie, 1000, 500)
    pair.submit()
    send.post(cookie + 1, 0, 77)
    pair.submit()
    await take(2, cq)
  }
  const key = { ...memory.remote, rkey: 0xbad00 }
  pair.prepareWrite({ memory, remote: key }).post(5, 0, 10, 0)
  pair.submit()
  await take(1, cq)
  pair.close()
  cq.close()
  for (const each of all) {
    each.queuePairNumber = each.queuePairNumber === pair.number
    each.sourceQueuePair = each.sourceQueuePair === pair.number
    // Of a send with immediate data libmlx5's ibv_poll_cq sets WITH_IMM, and its ibv_wc_read_wc_flags does not.
    if (Number(each.cookie) % 2 === 0) delete each.flags
  }
  return all.sort((a, b) => Number(a.cookie) - Number(b.cookie))
}

test('all else is told as without; what means nothing for a completion is 0', async () => {
  const [stamped, plain] = [await told(true), await told(false)]
  expect(stamped).toEqual(plain)
  expect(stamped.map(({ cookie, status }) => [cookie, status === 0])).toEqual([
    ...[1, 2, 3, 4].map((cookie) => [cookie, true]),
    [5, false],
  ])
  expect(stamped.every(({ queuePairNumber }) => queuePairNumber)).toBe(true)
  expect(plain[0]).toMatchObject({ byteLength: 77, immediate: 0x12345678, vendorError: 0 })
  for (const sent of [plain[1], plain[3]]) {
    expect(sent).toMatchObject({ byteLength: 0, immediate: 0, sourceQueuePair: false, vendorError: 0 })
  }
})

test('without the option the columns are empty; it must be a boolean', () => {
  const cq = context.createCompletionQueue(16)
  expect([cq.timestampLow.length, cq.timestampHigh.length]).toEqual([0, 0])
  cq.close()
  const stamped = context.createCompletionQueue(16, { timestamps: true, batch: 5 })
  expect([stamped.timestampLow.length, stamped.timestampHigh.length]).toEqual([5, 5])
  stamped.close()
  expect(thrownBy(() => context.createCompletionQueue(16, { timestamps: 1 as never }))).toMatchObject({
    code: 'ERR_INVALID_ARG_TYPE',
    message: '"options.timestamps" must be a boolean, not 1',
  })
})

describe.each(['rc', 'uc', 'ud'])('ibverbs ping -t %s', (type) => {
  test.each(['hardware', 'software'] as const)('--timestamps %s', async (timestamps) => {
    const folder = mkdtempSync(join(tmpdir(), 'ibverbs-ping-'))
    onOver(() => rmSync(folder, { recursive: true }))
    const env = { IBVERBS_SOFT: `socket:${join(folder, 'wire')}` }
    const common = ['-t', type, '-n', '50', '-s', '64', '-e', '--warmup', '0', '--timestamps', timestamps]
    const server = start(['ping', '--listen', '-p', '0', ...common], { env })
    await server.until(/on TCP port \d+/)
    const port = /on TCP port (\d+)/.exec(server.stderr)?.[1] as string
    const client = start(['ping', '127.0.0.1', '-p', port, '--json', ...common], { env })
    const [ours, theirs] = await Promise.all([client.finished, server.finished])
    expect([ours.code, theirs.code]).toEqual([0, 0])
    const result = JSON.parse(ours.stdout)
    // The device has no stamp of the first message, which answers nothing.
    const samples = timestamps === 'hardware' ? 49 : 50
    expect(result).toMatchObject({ timestamps, samples, complete: true, failure: null })
    expect(result.roundTrip.min).toBeGreaterThan(0)
    // Together they are no longer than the whole.
    expect((result.roundTrip.mean * samples) / 1e6).toBeLessThan(result.seconds * 1.01)
    expect(theirs.stdout).toContain(
      timestamps === 'hardware'
        ? "From one message's arrival to the next one's, by the device's clock, at the completion of a receive:"
        : "From one message's arrival to the next one's, by this program's clock, when it has seen the completion of a receive:",
    )
  })
})
