import { describe, expect, test } from 'vitest'
import { bins, histogram } from '../../dist/cli/histogram.js'
import { percentile, Samples, summarize } from '../../dist/cli/percentiles.js'

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
        // Integers: no rounding to hide behind.
        expect(percentile(upTo(n), p)).toBe(Math.max(1, Math.floor((p * n + 99) / 100)))
      }
    }
  })
})

describe('Samples', () => {
  test('come back sorted, and only those recorded', () => {
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

  test('has bins of 1, 2 or 5 times a power of ten, side by side', () => {
    const all = bins(upTo(100))
    const width = all[0].to - all[0].from
    expect(width).toBe(10)
    for (let i = 1; i < all.length; i++) expect(all[i].from).toBe(all[i - 1].to)
  })

  test('gives the tail beyond the 99th percentile one bin without an end', () => {
    const sorted = Float64Array.from([...Array.from({ length: 999 }, (_, i) => 10 + (i % 10)), 5000])
    const all = bins(sorted)
    expect(all[all.length - 1]).toEqual({ from: 20, to: Number.POSITIVE_INFINITY, count: 1 })
  })

  test('of equal samples has one bin', () => {
    expect(bins(Float64Array.from([7, 7, 7]))).toHaveLength(1)
    expect(bins(Float64Array.from([0]))).toHaveLength(1)
  })

  test('draws bars in proportion to the counts', () => {
    const sorted = Float64Array.from([1, 1, 1, 1, 11, 11, 21])
    expect(histogram(sorted, 8)).toBe(
      [
        ' 0  4  ████████',
        ' 2  0',
        ' 4  0',
        ' 6  0',
        ' 8  0',
        '10  2  ████',
        '12  0',
        '14  0',
        '16  0',
        '18  0',
        '20  1  ██',
      ].join('\n'),
    )
  })
})
