import { describe, expect, test } from 'vitest'
import { percentilesText } from '../../dist/cli/traffic/text.js'
import { LogHistogram } from '../../dist/lab/log-histogram.js'
import { percentile } from '../../dist/lab/percentiles.js'
import { Random } from '../beds/random.js'

describe('LogHistogram', () => {
  test('percentiles are at most 1/64 above the exact ones, never below', () => {
    const random = new Random(5)
    const histogram = new LogHistogram()
    const samples = Float64Array.from({ length: 20_000 }, () => Math.floor(2 ** (random.next() * 31)))
    for (const sample of samples) histogram.record(sample)
    const sorted = samples.sort()
    expect(histogram.count).toBe(samples.length)
    for (const p of [0.001, 1, 10, 50, 90, 99, 99.9, 100]) {
      const exact = percentile(sorted, p)
      expect(histogram.percentile(p)).toBeGreaterThanOrEqual(exact)
      expect(histogram.percentile(p)).toBeLessThanOrEqual(exact * (1 + 1 / 64))
    }
  })

  test('every integer up to 127 has a bin of its own', () => {
    for (let value = 0; value < 128; value++) {
      const histogram = new LogHistogram()
      histogram.record(value)
      histogram.record(1e6)
      expect(histogram.percentile(50)).toBe(value)
    }
  })

  test('negative values count as 0; hours have bins; values beyond three days are reported', () => {
    const histogram = new LogHistogram()
    for (const value of [-5, 5e9, 3600e9, 4e14]) histogram.record(value)
    expect(histogram.summary()).toEqual({
      p50: expect.closeTo(5e6, -5),
      p90: 4e11,
      p99: 4e11,
      'p99.9': 4e11,
      max: 4e11,
      overflow: 1,
    })
    expect(histogram.percentile(75)).toBeGreaterThanOrEqual(3600e9)
    expect(histogram.percentile(75)).toBeLessThanOrEqual(3600e9 * (1 + 1 / 64))
    expect(percentilesText('late', histogram)).toMatch(/; 1 of more than 2\^48 ns are the maximum in these$/)
    expect(new LogHistogram().summary()).toBeNull()
  })

  test('more than 2^32 samples in one bin', () => {
    const histogram = new LogHistogram()
    histogram.add(100, 2 ** 32 - 1)
    histogram.add(1000, 2 ** 31)
    for (let i = 0; i < 3; i++) histogram.record(100)
    expect(histogram.count).toBe(2 ** 32 + 2 + 2 ** 31)
    // Two thirds are 100: counts of 32 bits would leave 2 of them.
    expect([50, 66, 67, 100].map((p) => histogram.percentile(p))).toEqual([100, 100, 1000, 1000])
    histogram.add(100, 2 ** 40)
    histogram.add(2 ** 50, 2 ** 33)
    expect(histogram.percentile(50)).toBe(100)
    expect(histogram.overflow).toBe(2 ** 33)
  })
})
