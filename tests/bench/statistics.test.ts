import { describe, expect, it } from 'vitest'
import { generator, median, percentile, ratioInterval } from '../../bench/harness/statistics.js'

describe('median', () => {
  it('takes the middle value, or the mean of the two in the middle', () => {
    expect(median([3, 1, 2])).toBe(2)
    expect(median([4, 1, 3, 2])).toBe(2.5)
    expect(median([10, 9])).toBe(9.5)
  })

  it('sorts by value, not by text, and leaves its argument alone', () => {
    const values = [10, 9, 100]
    expect(median(values)).toBe(10)
    expect(values).toEqual([10, 9, 100])
  })

  it('refuses nothing', () => {
    expect(() => median([])).toThrow(RangeError)
  })
})

describe('percentile', () => {
  it('is the nearest rank, as in the C peers', () => {
    const sorted = Float64Array.from({ length: 1000 }, (_, i) => i + 1)
    expect(percentile(sorted, 50)).toBe(500)
    expect(percentile(sorted, 99)).toBe(990)
    expect(percentile(sorted, 99.9)).toBe(999)
    expect(percentile(sorted, 100)).toBe(1000)
    expect(percentile(sorted, 0)).toBe(1)
    // (count * 99 + 99) / 100 in bench/peers/pingpong.c
    for (const count of [1, 7, 99, 100, 101, 999]) {
      expect(percentile(sorted, 99, count)).toBe(Math.floor((count * 99 + 99) / 100))
      expect(percentile(sorted, 50, count)).toBe(Math.floor((count * 50 + 99) / 100))
    }
  })

  it('refuses nothing', () => {
    expect(() => percentile([], 50)).toThrow(RangeError)
  })
})

describe('generator', () => {
  it('repeats itself for a seed and covers [0, 1) evenly', () => {
    const [one, two, other] = [generator(1), generator(1), generator(2)]
    const bins = new Array<number>(10).fill(0)
    for (let i = 0; i < 10_000; i++) {
      const value = one()
      expect(value).toBe(two())
      bins[Math.floor(value * 10)]++
    }
    expect(generator(1)()).not.toBe(other())
    for (const bin of bins) expect(Math.abs(bin - 1000)).toBeLessThan(150)
  })
})

describe('ratioInterval', () => {
  it('is a point where every round has the same ratio, however the rounds differ', () => {
    const theirs = Array.from({ length: 20 }, () => 100)
    expect(
      ratioInterval(
        theirs.map((value) => value * 1.5),
        theirs,
      ),
    ).toEqual({ low: 1.5, high: 1.5 })
  })

  it('draws ours and theirs together: a disturbance of both does not widen it', () => {
    const random = generator(3)
    const drift = Array.from({ length: 30 }, () => 100 + 50 * random())
    const ours = drift.map((value) => value * 1.1)
    const together = ratioInterval(ours, drift)
    const apart = ratioInterval([...ours.slice(7), ...ours.slice(0, 7)], drift)
    expect(together.low).toBeCloseTo(1.1, 10)
    expect(together.high).toBeCloseTo(1.1, 10)
    expect(apart.high - apart.low).toBeGreaterThan(0.02)
  })

  it('is the same for the same rounds', () => {
    const random = generator(4)
    const ours = Array.from({ length: 20 }, () => 1 + random())
    const theirs = Array.from({ length: 20 }, () => 1 + random())
    expect(ratioInterval(ours, theirs)).toEqual(ratioInterval(ours, theirs))
  })

  // Box–Muller
  const normals = (random: () => number) => () =>
    Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())

  /** How often the interval contains the true ratio, over simulated comparisons of 20 rounds. */
  function coverage(opening: number, block: number): number {
    const normal = normals(generator(5))
    const trials = 300
    let held = 0
    for (let trial = 0; trial < trials; trial++) {
      let luck = 0
      const ours: number[] = []
      const theirs: number[] = []
      for (let round = 0; round < 20; round++) {
        if (round % opening === 0) luck = 5 * normal()
        ours.push(120 + luck + normal())
        theirs.push(100 + normal())
      }
      const { low, high } = ratioInterval(ours, theirs, block, 500)
      if (low <= 1.2 && 1.2 <= high) held++
    }
    return held / trials
  }

  it('holds the true ratio about 95 times in 100, also where rounds share an opening', () => {
    for (const opening of [1, 2]) {
      expect(coverage(opening, opening)).toBeGreaterThan(0.9)
      expect(coverage(opening, opening)).toBeLessThan(0.995)
    }
    // This is why blocks are drawn together.
    expect(coverage(4, 1)).toBeLessThan(0.85)
  })

  it('refuses rounds that do not pair', () => {
    expect(() => ratioInterval([1, 2], [1])).toThrow('2 and 1')
    expect(() => ratioInterval([], [])).toThrow(RangeError)
  })
})
