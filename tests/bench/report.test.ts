import { describe, expect, it } from 'vitest'
import type { Row } from '../../bench/harness/compare.js'
import { jsonLine, table } from '../../bench/harness/report.js'

const row: Row = {
  case: 'RC send 64 B, round trip p50',
  unit: 'µs',
  ours: 58.123456789,
  peer: 'c',
  theirs: 56,
  ratio: 58.123456789 / 56,
  low: 1.0123456,
  high: 1.0567891,
  noise: 0.99987654,
  rounds: 20,
}

describe('jsonLine', () => {
  it('has exactly the keys of the convention, in their order, on one line', () => {
    expect(jsonLine(row)).toBe(
      '{"case":"RC send 64 B, round trip p50","unit":"µs","ours":58.1235,"peer":"c","theirs":56,' +
        '"ratio":1.03792,"low":1.01235,"high":1.05679,"noise":0.999877,"rounds":20}',
    )
  })

  it('keeps six digits of large numbers', () => {
    expect(JSON.parse(jsonLine({ ...row, ours: 1_234_567.8 })).ours).toBe(1_234_570)
  })
})

describe('table', () => {
  it('aligns its columns', () => {
    const lines = table([row, { ...row, case: 'short', ours: 123456.7, peer: 'ib_send_lat', ratio: 12.345 }])
    expect(lines[0]).toBe(
      'case                          unit     ours  peer         theirs  ratio  95 % interval  peer/peer  rounds',
    )
    expect(lines[1]).toMatch(/^─+$/)
    expect(lines[2]).toBe(
      'RC send 64 B, round trip p50  µs      58.12  c                56  1.038  1.012 – 1.057      1.000      20',
    )
    expect(lines[3]).toBe(
      'short                         µs    123,457  ib_send_lat      56   12.3  1.012 – 1.057      1.000      20',
    )
  })
})
