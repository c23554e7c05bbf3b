/** Forwarding makes no garbage, and V8 does not throw its compiled code away. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type VethPair, vethPair } from '../beds/veth.js'
import { command, programPath } from './program.js'
import { backends } from './traffic.js'

const long = process.env.IBVERBS_LONG === '1'
/** Frames of a batch, as programs/forward.mjs has them. */
const batch = 64
/** Bytes by which the heap may grow in that many frames: half of the smallest object a batch (V8's are 16 bytes). */
const allowance = (frames: number) => (frames / batch) * 8

/** V8's events from `warm` to `done`, the number of frames, and the bytes by which the heap grew in a stretch of them. */
async function watched(
  ...words: string[]
): Promise<{ events: string[]; frames: number; stretch: number; grown: number }> {
  const flags = ['--no-warnings', '--expose-gc', '--trace-gc', '--trace-deopt']
  // V8 writes through C's stdout, which would buffer until the end.
  const argv = ['-oL', process.execPath, ...flags, programPath('forward.mjs'), ...words]
  const { code, output } = await command('stdbuf', ...argv)
  expect(code, output.slice(-2000)).toBe(0)
  const lines = output.trimEnd().split('\n')
  const warm = lines.indexOf('warm')
  const done = lines.findIndex((line) => line.startsWith('done '))
  expect(warm, output.slice(-2000)).toBeGreaterThan(-1)
  const [, frames, stretch, grown] = lines[done].split(' ').map(Number)
  return { events: lines.slice(warm + 1, done), frames, stretch, grown }
}

describe('forwarding', () => {
  let [first, second]: VethPair[] = []
  beforeAll(() => {
    first = vethPair()
    second = vethPair()
  })
  afterAll(() => {
    first.remove()
    second.remove()
  })

  it('ten million frames on rings without a kernel cause no garbage collection and no deoptimisation', async () => {
    const { events, frames, stretch, grown } = await watched('none', '10000000')
    expect(events).toEqual([])
    expect(frames).toBeGreaterThanOrEqual(10_000_000)
    expect(grown).toBeLessThan(allowance(stretch))
  })

  it('the test sees collections when there is garbage', async () => {
    const { events } = await watched('none', '2000000', 'garbage')
    expect(events.some((line) => /Scavenge/.test(line))).toBe(true)
  })

  it.each(backends)(
    'frames over a wire, %s: the same',
    async (backend) => {
      const count = long ? 10_000_000 : 1_000_000
      const { events, frames, stretch, grown } = await watched(
        backend,
        String(count),
        first.a,
        first.b,
        second.a,
      )
      expect(events).toEqual([])
      expect(frames).toBeGreaterThanOrEqual(count)
      expect(grown).toBeLessThan(allowance(stretch))
    },
    120_000,
  )
})
