import { describe, expect, test } from 'vitest'
import { bins, histogram } from '../../dist/lab/histogram.js'
import { percentile, Samples, summarize } from '../../dist/lab/percentiles.js'

const upTo = (n: number) => Float64Array.from({ length: n }, (_, i) => i + 1)

describe('percentile, by nearest rank', () => {
  test.each([
    [100, 50, 50],
    [100, 99, 99],
    [100, 99.9, 100],
    [1000, 99.9, 999],
    [1000, 99, 990],
    [10000, 99.9, 9990],
    [1, 50, 1],
    [3, 50, 2],
    [4, 50, 2],
    [4, 100, 4],
    [4, 0.001, 1],
  ])('of 1 … %i, %f %% is %i', (n, p, expected) => {
    expect(percentile(upTo(n), p)).toBe(expected)
  })

  test('is the smallest sample that p % do not exceed, for every p and n', () => {
    for (let n = 1; n <= 120; n++) {
      for (let p = 1; p <= 100; p++) {
        // Integers: exact, without rounding.
        expect(percentile(upTo(n), p)).toBe(Math.max(1, Math.floor((p * n + 99) / 100)))
      }
    }
  })
})

describe('Samples', () => {
  test('are returned sorted, and only the recorded ones', () => {
    const samples = new Samples(5)
    for (const value of [3, 1, 2]) samples.record(value)
    expect([...samples.sorted()]).toEqual([1, 2, 3])
    expect(samples.count).toBe(3)
  })

  test('beyond the capacity are refused', () => {
    const samples = new Samples(1)
    samples.record(1)
    expect(() => samples.record(2)).toThrow(RangeError)
  })

  test('summarize', () => {
    expect(summarize(upTo(1000))).toEqual({
      min: 1,
      p50: 500,
      p90: 900,
      p99: 990,
      'p99.9': 999,
      max: 1000,
      mean: 500.5,
    })
  })
})

describe('histogram', () => {
  test('counts each sample once, in the bin that its value belongs to', () => {
    const sorted = Float64Array.from({ length: 1000 }, (_, i) => (i * i) / 100).sort()
    const all = bins(sorted)
    expect(all.reduce((sum, bin) => sum + bin.count, 0)).toBe(1000)
    for (const { from, to, count } of all) {
      expect(count).toBe(sorted.filter((value) => value >= from && value < to).length)
    }
  })

  test('has bins of equal width, 1, 2 or 5 times a power of ten, if the samples lie close together', () => {
    const all = bins(upTo(100).map((value) => value + 100))
    expect(all.map(({ from, to }) => [from, to])).toEqual(
      Array.from({ length: 11 }, (_, i) => [100 + 10 * i, 110 + 10 * i])
        .slice(0, 10)
        .concat([[200, Infinity]]),
    )
  })

  test('has bins that grow by 2, 2.5 and 2 in turn if they do not', () => {
    const all = bins(Float64Array.from({ length: 100 }, (_, i) => 3 * 1.1 ** i))
    expect(all.map(({ from }) => from)).toEqual([
      2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000,
    ])
    for (let i = 1; i < all.length; i++) expect(all[i].from).toBe(all[i - 1].to)
  })

  test('gives the tail beyond the 99th percentile one bin without an end', () => {
    const sorted = Float64Array.from([...Array.from({ length: 999 }, (_, i) => 10 + (i % 10)), 5000]).sort()
    const all = bins(sorted)
    expect(all[all.length - 1]).toEqual({ from: 20, to: Number.POSITIVE_INFINITY, count: 1 })
  })

  test.each([[7], [0], [0.3]])('of samples that are all %f has one bin', (value) => {
    const [bin, ...more] = bins(Float64Array.from([value, value, value]))
    expect(more).toEqual([])
    expect(bin.from).toBeLessThanOrEqual(value)
    expect(bin.to).toBeGreaterThan(value)
    expect(bin.count).toBe(3)
  })

  test('draws bars in proportion to the counts', () => {
    const sorted = Float64Array.from([101, 101, 101, 101, 111, 111, 121])
    expect(histogram(sorted, 8)).toBe(
      [
        ['100', '4', '████████'],
        ['102', '0'],
        ['104', '0'],
        ['106', '0'],
        ['108', '0'],
        ['110', '2', '████'],
        ['112', '0'],
        ['114', '0'],
        ['116', '0'],
        ['118', '0'],
        ['120', '1', '██'],
      ]
        .map((row) => row.join('  '))
        .join('\n'),
    )
  })
})
