import { describe, expect, it } from 'vitest'
import { type Comparison, compare, type Side } from '../../bench/harness/compare.js'

interface Log {
  ran: string[]
  closed: string[]
}

/** Sides that answer prepared numbers and log the order of their runs. */
function scripted(log: Log, numbers: Record<string, (run: number) => number[]>): Comparison {
  let peers = 0
  const side = (name: string): Side => {
    let runs = 0
    return {
      run() {
        log.ran.push(name)
        return numbers[name](runs++)
      },
      close() {
        log.closed.push(name)
      },
    }
  }
  return {
    peer: 'c',
    metrics: [
      { case: 'first', unit: 'µs' },
      { case: 'second', unit: 'messages/s' },
    ],
    ours: () => side('ours'),
    theirs: async () => side(peers++ % 2 === 0 ? 'one' : 'two'),
  }
}

describe('compare', () => {
  it('alternates peer, ours, ours, peer, beginning where the last round ended, and opens all sides anew', async () => {
    const log: Log = { ran: [], closed: [] }
    const constant = () => [1, 2]
    await compare(scripted(log, { ours: constant, one: constant, two: constant }), 5)
    const warmup = ['one', 'ours', 'two']
    const opening = [...['one', 'ours', 'ours', 'two'], ...['two', 'ours', 'ours', 'one']]
    expect(log.ran).toEqual([
      ...[...warmup, ...warmup, ...warmup, ...opening],
      ...[...warmup, ...opening],
      ...[...warmup, ...['one', 'ours', 'ours', 'two']],
    ])
    const all = ['two', 'one', 'ours']
    expect(log.closed).toEqual([...all, ...all, ...all])
  })

  it('reports medians, the ratio ours/theirs and the ratio of the two peers, metric by metric', async () => {
    const log: Log = { ran: [], closed: [] }
    const rows = await compare(
      scripted(log, { ours: () => [12, 300], one: () => [11, 400], two: () => [9, 600] }),
      20,
    )
    expect(rows).toEqual([
      {
        case: 'first',
        unit: 'µs',
        ours: 12,
        peer: 'c',
        theirs: 10,
        ratio: 1.2,
        low: 1.2,
        high: 1.2,
        noise: 11 / 9,
        rounds: 20,
      },
      {
        case: 'second',
        unit: 'messages/s',
        ours: 300,
        peer: 'c',
        theirs: 500,
        ratio: 0.6,
        low: 0.6,
        high: 0.6,
        noise: 400 / 600,
        rounds: 20,
      },
    ])
  })

  it('does not count the warm-up', async () => {
    const log: Log = { ran: [], closed: [] }
    const settling = (run: number) => (run < 1 ? [1e9, 1e9] : [1, 1])
    const [row] = await compare(scripted(log, { ours: settling, one: settling, two: settling }), 20)
    expect(row.ours).toBe(1)
    expect(row.theirs).toBe(1)
  })

  it.each([
    ['too few numbers', [1], 'ours answered [1] where 2 positive numbers were due'],
    ['zero', [1, 0], 'ours answered [1,0] where'],
    ['no number', [1, Number.NaN], 'ours answered [1,null] where'],
  ])('a side that answers %s did not run', async (_, numbers, message) => {
    const log: Log = { ran: [], closed: [] }
    const constant = () => [1, 1]
    const broken = compare(scripted(log, { ours: () => numbers, one: constant, two: constant }), 20)
    await expect(broken).rejects.toThrow(message)
    expect(log.closed).toEqual(['two', 'one', 'ours'])
  })

  it('closes what it opened when a side does not start', async () => {
    const log: Log = { ran: [], closed: [] }
    const constant = () => [1, 1]
    const comparison = scripted(log, { ours: constant, one: constant, two: constant })
    comparison.theirs = () => Promise.reject(new Error('no pyverbs here'))
    await expect(compare(comparison, 20)).rejects.toThrow('no pyverbs here')
    expect(log).toEqual({ ran: [], closed: ['ours'] })
  })
})
