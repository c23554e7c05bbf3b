/** `ibverbs explain --attach`: what it shows of a running program is what the program has. */
import { join } from 'node:path'
import { layout } from 'ibverbs/mlx5'
import { beforeEach, expect, test } from 'vitest'
import { ibverbs, Running } from '../cli/run.js'
import { runtimeFolder } from './folder.js'

const traffic = join(import.meta.dirname, 'programs/traffic.mjs')
const byHand = join(import.meta.dirname, '../mlx5/programs/traffic.mjs')

interface Entry {
  index: number
  slot: number
  waiting?: true
  entry: {
    title: string
    bytes: string
    segments: { title: string; fields: { name: string; text: string }[] }[]
  }
}
interface Ring {
  name: string
  count: number
  stride: number
  counter: number
  entries: Entry[]
  note?: string
}
interface Queue {
  kind: string
  device: string
  number: number
  type?: string
  record: { bytes: string }
  rings: Ring[]
}
interface Thread {
  pid: number
  thread: number
  omitted: number
  queues: Queue[]
}
interface Told {
  statistics: { received: number; transmitted: number }
  transmit: { records: string; producer: string }
  fill: { records: string; producer: string }
  receive: { records: string; producer: string }
  completion: { records: string; producer: string }
}

beforeEach(() => {
  runtimeFolder()
})

async function attach(pid: number | undefined, ...more: string[]): Promise<Thread[]> {
  const { code, stdout, stderr } = await ibverbs(['explain', '--attach', String(pid), '--json', ...more])
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  return JSON.parse(stdout)
}

const env = { IBVERBS_CONTROL: '1', IBVERBS_SOFT: 'pair:a;pair:a' }
const fieldsOf = ({ entry }: Entry) =>
  entry.segments.flatMap((segment) => segment.fields.map(({ name, text }) => [name, text] as const))

test('of two packet queues at rest: the bytes of every ring, its counters, and what they count', async () => {
  const program = new Running(process.execPath, [traffic], { env, open: true })
  await program.until(/in traffic/)
  // In traffic, again and again: nothing of it throws, and the indices go on.
  const counters = new Set<number>()
  for (let i = 0; i < 3; i++) {
    const [{ queues, omitted }] = await attach(program.child.pid)
    expect(queues.map(({ kind, device, type }) => [kind, device, type])).toEqual([
      ['queuePair', 'mlx5_soft0', 'RAW_PACKET'],
      ['queuePair', 'mlx5_soft1', 'RAW_PACKET'],
      ['completionQueue', 'mlx5_soft0', undefined],
      ['completionQueue', 'mlx5_soft0', undefined],
      ['completionQueue', 'mlx5_soft1', undefined],
      ['completionQueue', 'mlx5_soft1', undefined],
    ])
    expect(omitted).toBe(0)
    counters.add(queues[0].rings[0].counter)
    for (const { entry, index } of queues[0].rings[0].entries) {
      expect(entry.title).toBe(`send request ${index}: ENHANCED_MPSW`)
    }
  }
  expect(counters.size).toBe(3)

  program.child.kill('SIGUSR2')
  await program.until(/\}\n$/)
  const { a, b } = JSON.parse(program.stdout.trimEnd().split('\n').at(-1)!) as Record<'a' | 'b', Told>
  const [{ queues }] = await attach(program.child.pid, '-n', '64')
  const [pairA, pairB, sentA, receivedA, sentB, receivedB] = queues
  const [sendA, fillA] = pairA.rings
  const word = (hex: string) => Buffer.from(hex, 'hex').readUInt32BE()

  // Every entry is where its counter says, and byte for byte what the ring has there.
  for (const [ring, { records }] of [
    [sendA, a.transmit],
    [fillA, a.fill],
    [pairB.rings[1], b.fill],
    [sentA.rings[0], a.completion],
    [receivedA.rings[0], a.receive],
    [receivedB.rings[0], b.receive],
    [sentB.rings[0], b.completion],
  ] as const) {
    for (const { index, slot, entry } of ring.entries) {
      expect(slot).toBe(index % ring.count)
      const at = slot * ring.stride * 2
      const end = at + entry.bytes.length
      // A request may go on at the ring's beginning.
      expect((records + records).slice(at, end)).toBe(entry.bytes)
    }
  }
  expect(sendA.counter).toBe(word(a.transmit.producer) & 0xffff)
  expect(fillA.counter).toBe(word(a.fill.producer) & 0xffff)
  expect(sentA.rings[0].counter).toBe(word(a.completion.producer) & 0xffffff)
  expect(receivedB.rings[0].counter).toBe(word(b.receive.producer) & 0xffffff)

  // A batch of three frames is a request of five segments, so of two blocks, and one completion.
  const batches = a.statistics.transmitted / 3
  expect(a.statistics.transmitted).toBe(b.statistics.received)
  expect(sendA.counter).toBe((2 * batches) & 0xffff)
  expect(sentA.rings[0].counter).toBe(batches)
  expect(receivedB.rings[0].counter).toBe(3 * batches)
  const most = Math.min(64, batches)
  expect(sendA.entries.map(({ index }) => index)).toEqual(
    Array.from({ length: most }, (_, i) => (2 * (batches - 1 - i)) & 0xffff),
  )
  for (const each of sendA.entries) {
    const lengths = fieldsOf(each).flatMap(([name, text]) => (name === 'byteCount' ? [text] : []))
    expect(lengths).toEqual(['60', '61', '62'])
  }
  expect(sentA.rings[0].entries.map((each) => Object.fromEntries(fieldsOf(each)).wqeCounter)).toEqual(
    sendA.entries.map(({ index }) => String(index)),
  )
  // Nothing came to it, and nothing was sent by the other.
  expect(receivedA.rings[0]).toMatchObject({ counter: 0, entries: [], note: 'no entry was written yet' })
  expect(pairB.rings[0]).toMatchObject({ counter: 0, entries: [], note: 'no request was handed over' })
})

test('of rings that a program drives by hand, and what waits in them', async () => {
  const program = new Running(process.execPath, [byHand], { env: { IBVERBS_CONTROL: '1' }, open: true })
  let queues: Queue[] = []
  // The socket is there before the rings are.
  for (let counter = 0; counter < 3; ) {
    const { stdout } = await ibverbs(['explain', '--attach', '--json'])
    const there = JSON.parse(stdout).some(({ pid }: { pid: number }) => pid === program.child.pid)
    if (there) [{ queues }] = await attach(program.child.pid, '--entries', '3')
    counter = queues[0]?.rings[0].counter ?? 0
  }
  const [pair, cq] = queues
  expect([pair.type, cq.kind]).toEqual(['UC', 'completionQueue'])
  const { entries, counter, count } = pair.rings[0]
  expect(entries.map(({ entry }) => entry.title)).toEqual(
    [1, 2, 3].map((back) => `send request ${(counter - back) & 0xffff}: SEND`),
  )
  expect(entries.map(({ slot }) => slot)).toEqual([1, 2, 3].map((back) => (counter - back) & (count - 1)))
  for (const { entry } of cq.rings[0].entries) expect(entry.title).toMatch(/^completion: REQ/)
  const waiting = cq.rings[0].entries.filter((each) => each.waiting)
  // It has one request under way at a time.
  expect(waiting.length).toBeLessThanOrEqual(1)
  expect(layout.cqeLength).toBe(cq.rings[0].stride)
})

test('of a queue with strides: its work queue, and frames in its completions', async () => {
  const script = `
    import { PacketQueue } from 'ibverbs/ethernet'
    const [a, b] = ['mlx5_soft0/1', 'mlx5_soft1/1'].map((name) =>
      PacketQueue.open(name, { backend: 'mlx5', striding: true }))
    const slot = a.claim()
    a.memory.set([...b.interface.macBytes, ...a.interface.macBytes, 0x88, 0xb5], a.offset(slot))
    a.send(slot, 77)
    a.submit()
    await b.wait()
    process.stdout.write('came\\n')
    setInterval(() => b.closed, 1000)`
  const program = new Running(process.execPath, ['--input-type=module', '-e', script], { env, open: true })
  await program.until(/came/)
  const [{ queues }] = await attach(program.child.pid, '-n', '2')
  const work = queues.filter(({ kind, device }) => kind === 'workQueue' && device === 'mlx5_soft1')
  expect(work).toHaveLength(1)
  const { rings } = work[0]
  expect(rings[0].entries[0].index).toBe(rings[0].counter - 1)
  expect(rings[0].entries[0].entry.segments.map(({ title }) => title)).toEqual(
    expect.arrayContaining(['next segment', 'data segment']),
  )
  // The frame's completion waits for the program, or was taken: it is a frame's, with its strides.
  const entries = queues.flatMap((queue) =>
    queue.kind === 'completionQueue' && queue.device === 'mlx5_soft1' ? queue.rings[0].entries : [],
  )
  const fields = entries.flatMap((each) => fieldsOf(each))
  expect(fields).toContainEqual(['byteCount', '77'])
})

test('as text, and nothing of a queue that is closed', async () => {
  const script = `
    import { open } from 'ibverbs'
    import { createCompletionQueue, createQueuePair, direct } from 'ibverbs/mlx5'
    import { softConnectX } from 'ibverbs/soft'
    const soft = softConnectX({ wire: 'loop' })
    const context = open('mlx5_soft0')
    const domain = context.allocateProtectionDomain()
    const cq = createCompletionQueue(domain, 256)
    const pair = createQueuePair(domain, { type: 'RC', cq })
    direct(cq)
    pair.connect(pair.endpoint)
    const rings = direct(pair)
    process.stdout.write('ready\\n')
    process.on('SIGUSR2', () => {
      if (pair.closed) cq.close()
      else pair.close()
      process.stdout.write('closed\\n')
    })
    setInterval(() => rings, 1000)`
  const program = new Running(process.execPath, ['--input-type=module', '-e', script], {
    env: { IBVERBS_CONTROL: '1' },
    open: true,
  })
  await program.until(/ready/)
  const { pid } = program.child
  const { stdout, stderr } = await ibverbs(['explain', '--attach', String(pid)])
  expect(stderr).toBe('')
  expect(stdout.split('\n').slice(0, 5)).toEqual([
    `the rings of process ${pid}`,
    '',
    expect.stringMatching(
      /^queue pair 0x[0-9a-f]{6} \(RC\) on mlx5_soft0, completion queues 0x[0-9a-f]{6} \(send\), 0x[0-9a-f]{6} \(receive\)$/,
    ),
    '   doorbell record of a work queue: 00 00 00 00 00 00 00 00',
    '      receiveCounter  0',
  ])
  expect(stdout).toMatch(/newest may be half-written\.\n$/)
  const kinds = async () => (await attach(pid))[0].queues.map(({ kind }) => kind)
  expect(await kinds()).toEqual(['queuePair', 'completionQueue'])
  program.child.kill('SIGUSR2')
  await program.until(/closed\n/)
  expect(await kinds()).toEqual(['completionQueue'])
  program.child.kill('SIGUSR2')
  await program.until(/closed\nclosed\n/)
  expect(await kinds()).toEqual([])
  expect((await ibverbs(['explain', '--attach', String(pid)])).stdout).toContain(
    'no queue is driven through ibverbs/mlx5 there',
  )
})

test.each([
  [['--attach', 'x'], "PID must be an integer from 1 to 4194304, not 'x'"],
  [['--attach', '1', '2'], "unexpected argument '2'"],
  [['--attach', '--entries', '3'], 'PID is missing: --attach without it only lists programs'],
  [['--attach', '1', '--entries', '65'], "--entries must be an integer from 1 to 64, not '65'"],
  [['--attach', '1', '-t', 'frame'], '--attach and --type exclude each other'],
  [['--entries', '3'], '--entries needs --attach'],
])('%j is wrong usage', async (args, message) => {
  expect(await ibverbs(['explain', ...args])).toMatchObject({
    code: 2,
    stderr: `ibverbs explain: ${message}\nTry 'ibverbs explain --help'.\n`,
  })
})
