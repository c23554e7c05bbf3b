// Strict mode (binding/soft/nic/strict.cc): a driver that forgets the register, or writes it before the record.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { open } from 'ibverbs'
import { createCompletionQueue, createQueuePair, direct } from 'ibverbs/mlx5'
import { type SoftOptions, softConnectX } from 'ibverbs/soft'
import { beforeAll, describe, expect, test } from 'vitest'
import { spawnSync } from '../beds/child.js'
import { onOver } from '../beds/over.js'
import { thrownBy } from '../beds/process.js'
import { writeInline } from '../mlx5/by-hand.js'
import { buildEngine } from './engine/build.js'

const source = readFileSync(join(import.meta.dirname, 'engine/strict_program.cc'), 'utf8')
const library = join(import.meta.dirname, '../../build/Release/libibverbs_soft.so')
const wrong = [
  'a_register_before_its_record_is_fatal_every_time',
  'an_arming_before_its_record_is_an_error_every_time',
]
const right = [...source.matchAll(/^TEST\((\w+)\)/gm)]
  .map((match) => match[1] as string)
  .filter((name) => !wrong.includes(name))

let program: string

beforeAll(() => {
  program = buildEngine('strict_program')
}, 300_000)

function run(name: string, wire: string, strict?: string, more: NodeJS.ProcessEnv = {}) {
  const env = {
    ...process.env,
    IBVERBS_SOFT: wire,
    LD_PRELOAD: library,
    IBVERBS_SOFT_STRICT: strict,
    ...more,
  }
  const { stdout, stderr, signal } = spawnSync(program, [name], { encoding: 'utf8', env, timeout: 100_000 })
  return { stdout, stderr, signal }
}

describe.each(['loop?strict', 'loop?strict=1&delay=100'])('a program on %s', (wire) => {
  test.each(right)('%s', (name) => {
    expect(run(name, wire)).toEqual({ stdout: `ok ${name}\n`, stderr: '', signal: null })
  })
})

// The store that is too early is seen exactly where it can be done by itself (driver/single_step.h).
describe.runIf(process.arch === 'x64')('a program that is wrong', () => {
  const lines = (text: string) => text.trimEnd().split('\n')

  test('hears QP_FATAL each time, and standard error names queue pair and index', () => {
    const { stdout, stderr, signal } = run(wrong[0] as string, 'loop?strict')
    expect({ stdout, signal }).toEqual({ stdout: `ok ${wrong[0]}\n`, signal: null })
    expect(lines(stderr)).toHaveLength(30)
    lines(stderr).forEach((line, i) => {
      // After as many rings that were right.
      const index = i % 6
      expect(line).toMatch(
        new RegExp(
          `^ibverbs soft: mlx5_soft0: queue pair 0x[0-9a-f]{6}: its register told of the WQE with index ${index}, ` +
            `up to block ${index + 1}, while its doorbell record said ${index}\\. A card would read the record, find nothing`,
        ),
      )
    })
  })

  test('hears CQ_ERR each time, and standard error names completion queue and index', () => {
    const { stdout, stderr, signal } = run(wrong[1] as string, 'loop', '1')
    expect({ stdout, signal }).toEqual({ stdout: `ok ${wrong[1]}\n`, signal: null })
    expect(lines(stderr)).toHaveLength(12)
    lines(stderr).forEach((line, i) => {
      expect(line).toMatch(
        /^ibverbs soft: mlx5_soft0: completion queue 0x[0-9a-f]{6}: its register told of the arming /,
      )
      expect(line).toContain(
        i % 2 === 1 ? 'record said 0 (sequence number 0)' : 'its doorbell record had not been written',
      )
    })
  })
})

test('without strict mode nobody is told', () => {
  const { stdout, stderr } = run(wrong[0] as string, 'loop?strict=0', '1', { WAIT: '500' })
  expect(stdout).toBe('')
  expect(stderr).toMatch(/device\.event\(wait\(\), &number\) is -1, expected 1\n$/)
})

describe('softConnectX({ strict })', () => {
  function device(options: SoftOptions) {
    const soft = softConnectX(options)
    onOver(() => soft.close())
    const context = open(soft.devices()[0].name)
    onOver(() => context.close())
    const domain = context.allocateProtectionDomain()
    const cq = createCompletionQueue(domain, 64)
    const pair = createQueuePair(domain, { type: 'RC', cq, maxInline: 44, maxSendWr: 16, maxReceiveWr: 16 })
    pair.connect(pair.endpoint)
    return { soft, context, pair, rings: direct(pair) }
  }

  test('violations() names queue pair and index of what ran ahead', async () => {
    const { soft, context, pair, rings } = device({ strict: true })
    expect(soft.violations()).toEqual([])
    // The record says one block, and the register tells of the sixth.
    writeInline(rings, 5, new Uint8Array(4))
    rings.ringSend(1, 5)
    expect(await context.nextEvent()).toMatchObject({ type: 'QP_FATAL', queuePair: pair })
    const number = pair.number.toString(16).padStart(6, '0')
    const words = `mlx5_soft0: queue pair 0x${number}: its register told of the WQE with index 5, up to block 6, while its doorbell record said 1. `
    expect(soft.violations()).toEqual([expect.stringContaining(words)])
    context.close()
    soft.close()
    expect(thrownBy(() => soft.violations())).toMatchObject({ code: 'ERR_IBVERBS_CLOSED' })
  })

  test('is what the environment says unless it is given', () => {
    const given = process.env.IBVERBS_SOFT_STRICT
    onOver(() => {
      process.env.IBVERBS_SOFT_STRICT = given
    })
    expect(given).toBe('1') // the beds' default (tests/beds/setup.ts)
    process.env.IBVERBS_SOFT_STRICT = '2'
    expect(thrownBy(() => softConnectX())).toMatchObject({
      message: 'EINVAL: softConnectX: IBVERBS_SOFT_STRICT must be 0 or 1, not "2"',
    })
    expect(thrownBy(() => softConnectX({ strict: 1 as unknown as boolean }))).toMatchObject({
      code: 'ERR_INVALID_ARG_TYPE',
    })
  })
})
