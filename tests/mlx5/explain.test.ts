/** `ibverbs explain`: its frames by tshark, its rings by what must follow from what. */
import { describe, expect, test } from 'vitest'
import { ibverbs } from '../cli/run.js'
import { dissect } from '../headers/tshark.js'

interface Step {
  side: string
  title: string
  bytes?: string
  before?: Entry
  entry?: Entry
}
interface Entry {
  title: string
  bytes: string
  segments: { title: string; fields: { name: string; text: string }[] }[]
}

async function explain(kind: string) {
  const [json, text] = await Promise.all([
    ibverbs(['explain', '-t', kind, '--json']),
    ibverbs(['explain', '-t', kind]),
  ])
  expect([json, text].map(({ code, stderr }) => ({ code, stderr }))).toEqual([
    { code: 0, stderr: '' },
    { code: 0, stderr: '' },
  ])
  const { steps, ...rest } = JSON.parse(json.stdout) as { steps: Step[]; device: string; kind: string }
  expect(rest).toEqual({ device: 'mlx5_soft0', kind })
  return { steps, text: text.stdout }
}

const framesOf = (steps: Step[]) =>
  steps.filter(({ side }) => side === 'wire').map(({ bytes }) => new Uint8Array(Buffer.from(bytes!, 'hex')))
const memoryOf = (steps: Step[], side: string) =>
  Buffer.from(steps.find((step) => step.side === side && step.title.includes('in memory'))!.bytes!, 'hex')
const fields = (entry: Entry | undefined) =>
  Object.fromEntries(
    entry!.segments.flatMap((segment) => segment.fields.map(({ name, text }) => [name, text])),
  )

/** The steps that every kind has: the request, its doorbells, its completion. */
function expectRequest(steps: Step[], opcode: string): void {
  const sender = steps.filter(({ side }) => side === 'sender')
  const [request, record, register] = sender
  expect(fields(request.entry)).toMatchObject({ index: '0', opcode, completion: 'ALWAYS' })
  expect([record.before!.bytes, record.entry!.bytes]).toEqual([
    expect.stringMatching(/^.{8}00000000$/),
    expect.stringMatching(/^.{8}00000001$/),
  ])
  expect(register.bytes).toBe(request.entry!.bytes.slice(0, 16))
  const [completion, back] = sender.filter(({ title }) => /completion/.test(title))
  expect(fields(completion.entry)).toMatchObject({ opcode: 'REQ', requestOpcode: opcode, wqeCounter: '0' })
  expect(fields(completion.entry).queuePairNumber).toBe(fields(request.entry).queuePairNumber)
  expect([back.before!.bytes, back.entry!.bytes]).toEqual(['00000000ffffffff', '00000001ffffffff'])
}

test('a frame: the device computes its checksums', async () => {
  const { steps, text } = await explain('frame')
  expectRequest(steps, 'SEND')
  const frames = framesOf(steps)
  const status = ['ip.checksum.status', 'udp.checksum.status'] as const
  expect(dissect(frames, ['ip.dst', 'udp.dstport', ...status])).toEqual([
    { 'ip.dst': '192.0.2.2', 'udp.dstport': '9', 'ip.checksum.status': '1', 'udp.checksum.status': '1' },
  ])
  expect(memoryOf(steps, 'receiver')).toEqual(Buffer.from(frames[0]))
  expect(text).toMatch(/^a frame on mlx5_soft0, byte by byte\n\n1\. receiver writes a receive request/)
  expect(text).toMatch(/ checks +L2_OK \| L3_OK \| L4_OK +hds_ip_ext\[2:0\]\n/)
  expect(text).toContain('> 192.0.2.2.9: UDP, length 12\n')
})

describe('an RC', () => {
  test.each([
    ['send', 'SEND', ['SEND only', 'acknowledge'], [4, 17]],
    ['write', 'RDMA_WRITE', ['RDMA WRITE only', 'acknowledge'], [10, 17]],
    ['read', 'RDMA_READ', ['RDMA READ request', 'RDMA READ response only'], [12, 16]],
    ['atomic', 'ATOMIC_FA', ['fetch and add', 'atomic acknowledge'], [20, 18]],
  ])('%s', async (kind, opcode, operations, numbers) => {
    const { steps, text } = await explain(kind)
    expectRequest(steps, opcode)
    const rows = dissect(framesOf(steps), [
      'infiniband.bth.opcode',
      'infiniband.bth.psn',
      'infiniband.bth.destqp',
    ])
    expect(rows.map((row) => Number(row['infiniband.bth.opcode']))).toEqual(numbers)
    const said = [
      ...text.matchAll(/RoCEv2: (.*), to queue pair (0x[0-9a-f]+), packet sequence number \d+\n/g),
    ]
    expect(said.map(([, operation]) => operation)).toEqual(operations)
    // The text is of a run of its own; the queue pairs are numbered alike.
    expect(said.map(([, , pair]) => Number(pair))).toEqual(
      rows.map((row) => Number(row['infiniband.bth.destqp'])),
    )
    expect(new Set(rows.map((row) => row['infiniband.bth.psn'])).size).toBe(1)
    if (kind === 'atomic') {
      expect(memoryOf(steps, 'receiver').readBigUInt64LE()).toBe(42n)
      expect(memoryOf(steps, 'sender').readBigUInt64LE()).toBe(40n)
    } else {
      expect(memoryOf(steps, kind === 'read' ? 'sender' : 'receiver').toString()).toMatch(
        /^hello, peer! .{52,} whole\.$/,
      )
    }
  })
})

test('on the device of IBVERBS_SOFT, and on a named one', async () => {
  const env = { ...process.env, IBVERBS_SOFT: 'loop;loop' }
  const other = await ibverbs(['explain', '--json', '-d', 'mlx5_soft1'], { env })
  expect(other).toMatchObject({ code: 0, stderr: '' })
  expect(JSON.parse(other.stdout)).toMatchObject({ device: 'mlx5_soft1' })
  expect(JSON.parse((await ibverbs(['explain', '--json'], { env })).stdout)).toMatchObject({
    device: 'mlx5_soft0',
  })
})

test('errors', async () => {
  const wrong = await ibverbs(['explain', '-t', 'datagram'])
  expect(wrong).toMatchObject({ code: 2, stdout: '' })
  expect(wrong.stderr).toContain("--type must be frame or send or write or read or atomic, not 'datagram'")
  const missing = await ibverbs(['explain', '-d', 'mlx5_9'])
  expect(missing).toMatchObject({ code: 1, stdout: '' })
  expect(missing.stderr).toContain('ENODEV')
  // Its other end is another device: nothing comes back.
  const env = { ...process.env, IBVERBS_SOFT: 'pair' }
  const lonely = await ibverbs(['explain'], { env })
  expect(lonely).toMatchObject({ code: 1, stdout: '' })
  expect(lonely.stderr).toContain('is the port connected to itself?')
})
