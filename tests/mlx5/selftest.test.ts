/** `ibverbs selftest`: all passes on the software ConnectX, and a device that is broken is told from it. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { onOver } from '../beds/over.js'
import { ibverbs } from '../cli/run.js'

interface Check {
  name: string
  result: 'passed' | 'failed' | 'skipped'
  message?: string
  difference?: { at: number; count: number; expected: string; found: string }
}

/** Runs it on a software ConnectX. */
async function selftest(soft: string, device = 'mlx5_soft0') {
  const folder = mkdtempSync(join(tmpdir(), 'ibverbs-selftest-'))
  onOver(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'result.json')
  const { code, stdout, stderr } = await ibverbs(['selftest', '--device', device, '-o', file], {
    env: { IBVERBS_SOFT: soft },
  })
  return {
    code,
    stdout,
    stderr,
    file,
    report: existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined,
  }
}

const names = [
  'rc-messages',
  'uc-messages',
  'rc-transfers',
  'rc-atomics',
  'ud-datagrams',
  'refusals',
  'timestamps',
  'direct',
  'blue-flame',
  'arming',
  'frames',
  'checksums',
]

test.each([
  ['as it is', 'loop?strict=1'],
  ['that asks for headers in requests', 'loop?strict=1&minimumInline=18'],
])('all passes on a software ConnectX %s', async (_, soft) => {
  const { code, stdout, stderr, file, report } = await selftest(soft)
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(stdout.trimEnd().split('\n')).toEqual([
    ...names.map((name) => expect.stringMatching(new RegExp(`^passed {2,}${name} {2,}[^:]+$`))),
    `${names.length} passed, 0 failed, 0 skipped: ${file} tells the rest`,
  ])
  expect(report).toMatchObject({
    ...{ version: 1, passed: names.length, failed: 0, skipped: 0, node: process.version },
    libibverbs: expect.stringMatching(/libibverbs\.so\.1\.\d+\.\d+\.\d+$/),
    libmlx5: expect.stringMatching(/libmlx5/),
    device: {
      ...{ name: 'mlx5_soft0', port: 1, software: true, firmware: expect.stringMatching(/^\d+\.\d+\.\d+$/) },
      attributes: { maxQp: expect.any(Number), extended: { hcaCoreClock: expect.stringMatching(/^0x/) } },
      portAttributes: { state: 'ACTIVE' },
      mlx5: { flags: expect.arrayContaining(['ENHANCED_MPW']) },
    },
  })
  expect(report.checks.map(({ name, result }: Check) => [name, result])).toEqual(
    names.map((name) => [name, 'passed']),
  )
  const told = (name: string) => report.checks.find((each: Check) => each.name === name).told
  expect(told('frames')).toEqual({ frames: 406, multiPacket: true, compressed: true })
  expect(told('blue-flame').registerBytes).toBeGreaterThan(0)
  // Nobody is to be found by it.
  expect(JSON.stringify(report)).not.toMatch(/guid|gid"|macBytes|:[0-9a-f]{2}:[0-9a-f]{2}:/i)
})

test('a wire that loses every frame fails what crosses it, and says so', async () => {
  const { code, stdout, report } = await selftest('loop?loss=1')
  expect(code).toBe(1)
  const failed = report.checks
    .filter(({ result }: Check) => result === 'failed')
    .map(({ name }: Check) => name)
  expect(failed).toContain('frames')
  const frames = report.checks.find(({ name }: Check) => name === 'frames')
  expect(frames.message).toBe(
    '0 of 1 frames came back to the port that sent them: does it send to itself? No more came within 2 s',
  )
  expect(stdout).toMatch(/^failed {2,}frames {2,}raw frames to itself, in batches: 0 of 1 frames came back/m)
})

test('of frames that come in another order the file has the bytes', async () => {
  const { code, report } = await selftest('loop?reorder=0.5')
  expect(code).toBe(1)
  const { difference, message } = report.checks.find(({ name }: Check) => name === 'frames')
  expect(message).toMatch(/^frame \d+ of a batch of \d+: .* differ from byte \d+ on$/)
  expect(difference.count).toBeGreaterThan(0)
  expect(difference.expected).not.toBe(difference.found)
  expect(difference.found).toMatch(/^([0-9a-f]{2}){1,64}$/)
})

test('says what stands in the way', async () => {
  expect(await ibverbs(['selftest'])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('--device is missing'),
  })
  const { code, stderr, report } = await selftest('loop', 'mlx5_9')
  expect(code).toBe(1)
  expect(stderr).toMatch(/^ibverbs selftest: ENODEV/)
  expect(report).toBeUndefined()
})
