/** `npm start` takes perftest's samples, and computes both sides' figures from them in the same way. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { perftestSamples } from '../../binding/tools/start/perftest.mjs'
import { freePort } from '../beds/free-port.js'
import { start } from '../cli/run.js'

const folder = mkdtempSync(join(tmpdir(), 'npm-start-'))
afterAll(() => rmSync(folder, { recursive: true }))

const iterations = 100

async function sendLat(): Promise<string> {
  const port = String(await freePort())
  const words = [
    ...['soft', '-w', `socket:${join(folder, 'wire')}`, '--', 'stdbuf', '-oL', 'ib_send_lat', '-x', '0'],
    ...['-s', '64', '-n', String(iterations), '-p', port, '-F', '-U'],
  ]
  const server = start(words)
  await server.until(/Waiting for client/)
  const client = await start([...words, 'localhost']).finished
  expect([client.code, (await server.finished).code]).toEqual([0, 0])
  return client.stdout
}

test('ib_send_lat -U prints every sample; its own t_max and t_avg leave the largest out', async () => {
  let text = await sendLat()
  // On a busy machine ib_send_lat cannot calibrate its clock, and prints inf for everything.
  for (let again = 0; again < 9 && /, inf$/m.test(text); again++) text = await sendLat()
  const sorted = perftestSamples(text, iterations).sort()
  expect(sorted.length).toBe(iterations - 1)
  // #bytes #iterations t_min t_max t_typical t_avg t_stdev 99% 99.9%
  const [line] = /^ 64 +100 +.*$/m.exec(text) as RegExpExecArray
  const [, , min, max, , mean] = line.trim().split(/\s+/).map(Number)
  const twoLargestOut = sorted.subarray(0, -2)
  const meanOf = (values: Float64Array) => values.reduce((sum, value) => sum + value, 0) / values.length
  // Printed with six digits, and with two decimals.
  for (const [theirs, ours] of [
    [min, sorted[0]],
    [max, sorted[sorted.length - 2]],
    [mean, meanOf(twoLargestOut)],
  ]) {
    expect(Math.abs(theirs - ours)).toBeLessThan(0.02 + ours / 1e5)
  }
})

test('what is no list of samples is refused with what it is', () => {
  expect(() =>
    perftestSamples('Correlation coefficient r^2: 0.6 < 0.9\n#, usec\n1, inf\n2, inf\n', 3),
  ).toThrow(/^these are no samples of perftest's:\nCorrelation/)
  expect(() => perftestSamples('#, usec\n1, 2.5\n', 3)).toThrow('no samples')
  expect(() => perftestSamples('', 3)).toThrow('no samples')
  expect([...perftestSamples('#, usec\n1, 2.5\n2, 1.5\n', 3)]).toEqual([2.5, 1.5])
})
